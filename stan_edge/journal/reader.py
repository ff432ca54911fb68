"""Reads a journal: events, and the runs they are from; also beside a run, and in copies that cannot be written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from stan_edge.errors import JournalDamagedError, JournalError
from stan_edge.journal import schema
from stan_edge.journal.rows import Row
from stan_edge.journal.salvage import salvage
from stan_edge.journal.schema import ALL, FILE
from stan_edge.records import time_of_day


@dataclass(frozen=True)
class JournalRows:
    """Records in order."""

    rows: tuple[Row, ...]
    damaged: bool
    """The file is damaged, and these are the records that can still be read."""


@dataclass(frozen=True)
class StoredEvent:
    """All that the journal holds of one event."""

    rows: tuple[Row, ...]

    @property
    def last(self) -> dict[str, Any]:
        """Its latest record."""
        return self.rows[-1].record

    @property
    def at(self) -> datetime:
        """When it was announced, in UTC."""
        return _time(self.rows[0].at_ms)

    @property
    def exported(self) -> bool:
        """All of it is marked; an event that has gone on since is not."""
        return all(row.exported_ms is not None for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Its latest record, with the time of day at which it was announced and ended."""
        record = self.last
        ended = time_of_day(_time(self.rows[-1].at_ms)) if record["phase"] == "end" else None
        times = {"at": time_of_day(self.at), "ended_at": ended, "exported": self.exported}
        return {key: value for key, value in record.items() if key not in ("type", "event")} | times


def read_rows(folder: Path, table: str, seqs: tuple[int, int] = ALL) -> JournalRows:
    """Rows of a table with these numbers (first and last), in order.

    Raises:
        JournalError: there is no journal, it is somebody else's, or newer.
        JournalDamagedError: nothing can be read.
    """
    path = folder / FILE
    try:
        if not path.is_file():
            raise JournalError(f"There is no journal at {folder}; `stan-edge run --journal {folder}` begins one.")
        try:
            schema.check_file(path)
            with closing(schema.open_for_reading(path)) as connection:
                return JournalRows(tuple(schema.rows(connection, table, seqs)), damaged=False)
        except (JournalDamagedError, sqlite3.Error) as error:
            if not schema.is_damage(error):
                raise
            saved = {row.seq: row for row in salvage(path)}
            if not saved:
                raise JournalDamagedError(
                    f"{path} is damaged and nothing can be read from it; look for another copy."
                ) from error
            wanted = sorted(seq for seq, row in saved.items() if row.table == table and seqs[0] <= seq <= seqs[1])
            return JournalRows(tuple(saved[seq] for seq in wanted), damaged=True)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{path} cannot be read ({error}); check the disk and that you may read it.") from error


def events(rows: Iterable[Row]) -> Iterator[StoredEvent]:
    """Events in the order in which they were announced."""
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        if row.event is not None:
            by_id.setdefault(row.event, []).append(row)
    return (StoredEvent(tuple(of_event)) for of_event in by_id.values())


def mark_exported(folder: Path, marked: Iterable[StoredEvent]) -> None:
    """Mark what was read of these events: it need not be kept any longer.

    Raises:
        JournalError: the journal cannot be written.
    """
    seqs = [(time.time_ns() // 1_000_000, row.seq) for event in marked for row in event.rows]
    path = folder / FILE
    try:
        with closing(schema.open_for_writing(path)) as connection, schema.transaction(connection):
            connection.executemany("UPDATE records SET exported_ms = ? WHERE seq = ? AND exported_ms IS NULL", seqs)
    except (sqlite3.Error, JournalDamagedError) as error:
        why = str(error).rstrip(".")
        raise JournalError(f"{path} cannot be marked ({why}); use a journal that you may write to.") from error


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc)
