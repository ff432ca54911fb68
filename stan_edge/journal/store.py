"""One opened journal: found whole, repaired, or begun anew."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

from stan_edge.errors import JournalDamagedError
from stan_edge.files import sync
from stan_edge.journal import schema
from stan_edge.journal.rows import Row
from stan_edge.journal.salvage import salvage
from stan_edge.journal.schema import FILE

PART, NEW = "journal.part", "journal.new"
SET_ASIDE = "journal.damaged-*"
CUT_OFF = "cut_off"
_SIDES = ("", "-wal", "-shm")
SAVED_WHOLE_BYTES = 200_000_000
"""Of a larger file only the records are saved: its windows would take minutes, and alarms wait in memory until then."""
_SAVED_AT_ONCE = 2000


class Store:
    """Writes rows; opened by `open_store`."""

    def __init__(self, connection: sqlite3.Connection, last_seq: int, unended: tuple[str, ...]) -> None:
        self.connection = connection
        self.last_seq = last_seq
        self.unended = unended
        """Cameras whose last run has no end."""

    def append(self, rows: Iterable[Row]) -> None:
        """Number the rows and commit them, all or none; they are on the disk on return.

        Raises:
            sqlite3.Error: they are not.
        """
        numbered = [replace(row, seq=self.last_seq + 1 + k) for k, row in enumerate(rows)]
        if numbered:
            schema.insert(self.connection, numbered)
            self.last_seq = numbered[-1].seq

    def close(self) -> None:
        """Let go of the file; what was committed stays."""
        self.connection.close()


def open_store(folder: Path, damage: str | None = None) -> tuple[Store, str | None]:
    """Open the journal of a folder, or begin one.

    Args:
        damage: why the file is known to be damaged; None: it is looked at.

    Returns:
        The store, and a sentence when the file was damaged.

    Raises:
        JournalError: it is not ours to write.
        OSError, sqlite3.Error: the disk does not let us.
    """
    path = folder / FILE
    if not path.exists():
        if not (folder / NEW).exists():  # else: killed in the middle of `_swap`
            _build(folder, iter(()))
        _swap(folder)
    try:
        if damage is not None:
            raise JournalDamagedError(damage)
        return _open_whole(path), None
    except (JournalDamagedError, sqlite3.Error) as error:
        if not schema.is_damage(error):
            raise
        repaired = _repair(folder, str(error).rstrip("."))
    return _open_whole(path), repaired


def _open_whole(path: Path) -> Store:
    """Every record is read and checked; of the windows, which are many, only the last."""
    schema.check_file(path)
    connection = schema.open_for_writing(path)
    try:
        last_seq, unended = 0, dict[str, bool]()
        for row in schema.rows(connection, "records"):
            if row.seq <= last_seq:
                raise JournalDamagedError(f"Record {row.seq} comes after {last_seq}.")
            last_seq = row.seq
            if row.kind in ("start", "end"):
                unended[row.camera] = row.kind == "start"
            elif row.phase == CUT_OFF:  # logged once
                unended.clear()
        for values in connection.execute("SELECT * FROM windows ORDER BY seq DESC LIMIT 1"):
            last_seq = max(last_seq, Row.loaded(values).seq)
    except BaseException:
        connection.close()
        raise
    return Store(connection, last_seq, tuple(camera for camera, is_open in unended.items() if is_open))


def _repair(folder: Path, reason: str) -> str:
    """Begin a new file with what can be read of the damaged one, and set that one aside; returns a sentence on it."""
    path = folder / FILE
    size_bytes = path.stat().st_size
    all_of_it = size_bytes <= SAVED_WHOLE_BYTES and shutil.disk_usage(folder).free > 2 * size_bytes
    records, windows = _build(folder, salvage(path, windows=all_of_it))
    saved = f"{records} records and {windows} windows" if all_of_it else f"{records} records, but no windows,"
    return f"the file was damaged ({reason}); it was set aside as {_swap(folder)}, and {saved} were saved from it."


def _build(folder: Path, rows: Iterator[Row]) -> tuple[int, int]:
    """A whole file under the name `NEW`; how many records and windows it holds."""
    part = folder / PART
    for side in _SIDES:
        part.with_name(part.name + side).unlink(missing_ok=True)
    connection = schema.create(part)
    try:
        while some := list(islice(rows, _SAVED_AT_ONCE)):
            schema.insert(connection, some, again=True)
        records, windows = (
            int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in schema.TABLES
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    part.replace(folder / NEW)
    sync(folder)
    return records, windows


def _swap(folder: Path) -> str:
    """Put `NEW` in the place of the file; returns the name under which that one and its WAL are kept.

    Killed at any step, the next `open_store` goes on: as long as there is no `FILE`, `NEW` is whole.
    """
    path = folder / FILE
    if path.exists():
        for older in folder.glob(SET_ASIDE):
            older.unlink()  # what could be saved from it has been
    aside = f"journal.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}.db"
    for side in _SIDES:
        if (folder / (FILE + side)).exists():
            (folder / (FILE + side)).replace(folder / (aside + side))
    (folder / NEW).replace(path)
    sync(folder)
    return aside
