"""What may go, and in which order: windows, then what has been exported; an alarm that has not stays for ever."""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path

from stan_edge.journal.rows import Head
from stan_edge.journal.schema import PAGE_BYTES, transaction
from stan_edge.retention import Retention

DAY_MS = 86_400_000
TRIM_EVERY_S, TRIM_RECORDS_EVERY_S = 60.0, 3600.0
"""The records are looked at less often: 10,000 events take a second."""
STEP_ROWS, STEPS = 200, 10
"""Rows deleted in one transaction, and transactions in one go: an alarm waits a few milliseconds for them."""
KEPT_FREE_PAGES = 256
"""Free pages that the next rows fill; giving these back as well would write every page twice."""
VACUUM_PAGES = 500
SPARE_BYTES, SPARE_SHARE = 64 << 20, 0.05
"""Windows give way when less than this is free on the disk, whoever fills it, so that alarms can be written."""


class Trimming:
    """Keeps one journal small, a little at a time."""

    def __init__(self, folder: Path, retention: Retention) -> None:
        self._folder = folder
        self._retention = retention
        self._due_s = self._records_due_s = 0.0
        self._said_too_large = False

    def step(self, connection: sqlite3.Connection) -> str | None:
        """Delete a few rows, if it is time to; returns a sentence, once, when what has to stay does not fit.

        Raises:
            OSError, sqlite3.Error: the disk does not let us.
        """
        now_s = time.monotonic()
        if now_s < self._due_s:
            return None
        limit = limit_bytes(self._retention, self._folder, used_bytes(connection))
        records = now_s >= self._records_due_s
        if trim(connection, time.time() * 1000 - self._retention.days * DAY_MS, limit, records=records):
            return None  # and goes on with the next batch
        self._due_s = now_s + TRIM_EVERY_S
        if not records:
            return None
        self._records_due_s = now_s + TRIM_RECORDS_EVERY_S
        if used_bytes(connection) <= limit or self._said_too_large:
            return None
        self._said_too_large = True
        return (
            f"alarms that were not exported do not fit into the {max(limit, 0) / 1e6:.0f} MB that it may take; "
            "export them and mark them so, or make room."
        )


def limit_bytes(retention: Retention, folder: Path, used_bytes: int) -> float:
    """How large the used part of the file may be."""
    disk = shutil.disk_usage(folder)
    spare = min(SPARE_BYTES, SPARE_SHARE * disk.total)
    return min(retention.megabytes * 1e6, used_bytes + disk.free - spare)


def trim(connection: sqlite3.Connection, older_than_ms: float, limit_bytes: float, *, records: bool = True) -> bool:
    """Delete a few rows that are too old or do not fit, and give space back; whether there are more.

    Args:
        limit_bytes: of the used part of the file.
        records: look at the records, too.

    Raises:
        sqlite3.Error: the disk does not let us.
    """
    steps = 0
    while steps < STEPS and (gone := _next_gone(connection, older_than_ms, limit_bytes, records)):
        table, seqs = gone
        with transaction(connection):
            connection.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in seqs])
        steps += 1
    free_pages = _number(connection, "PRAGMA freelist_count")
    if free_pages > KEPT_FREE_PAGES:
        pages = min(free_pages - KEPT_FREE_PAGES, VACUUM_PAGES)
        connection.executescript(f"PRAGMA incremental_vacuum({pages})")  # `execute` would stop after the first page
    return steps == STEPS or free_pages > KEPT_FREE_PAGES + VACUUM_PAGES


def used_bytes(connection: sqlite3.Connection) -> int:
    """Pages that hold something; free ones are filled before the file grows."""
    return PAGE_BYTES * (_number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count"))


def expendable(
    records: Sequence[Head], older_than_ms: float = math.inf, first_window_seq: float = math.inf
) -> list[int]:
    """Which records may go, oldest first.

    A record of an event stays until all of its event are marked as exported; of its updates only the last stays that
    long, for an event that was cut off. Start and end stay while an event or a window of their run does, and so do
    those of each camera's last run.
    """
    last_of = {record.event: record.seq for record in records}
    unexported = {record.event for record in records if record.exported_ms is None}
    runs: dict[str, list[list[Head]]] = {}  # by camera: start, end, and the events that stay
    gone = []
    for record in records:
        old = record.at_ms < older_than_ms
        if record.kind == "start":
            runs.setdefault(record.camera, []).append([record])
        elif record.kind == "end":
            runs.setdefault(record.camera, [[]])[-1].append(record)
        elif record.event is None:
            if old:
                gone.append(record.seq)
        elif old and (
            record.event not in unexported or (record.phase == "update" and record.seq < last_of[record.event])
        ):
            gone.append(record.seq)
        else:
            runs.setdefault(record.camera, [[]])[-1].append(record)
    for of_camera in runs.values():
        for run, later in pairwise(of_camera):
            has_windows = later[0].seq > first_window_seq
            if not has_windows and all(one.event is None and one.at_ms < older_than_ms for one in run):
                gone += [one.seq for one in run]
    return sorted(gone)


def _next_gone(
    connection: sqlite3.Connection, older_than_ms: float, limit_bytes: float, look_at_records: bool
) -> tuple[str, list[int]] | None:
    oldest = connection.execute(f"SELECT seq, at_ms FROM windows ORDER BY seq LIMIT {STEP_ROWS}").fetchall()
    too_large = used_bytes(connection) > limit_bytes
    windows = oldest if too_large else takewhile(lambda row: row[1] < older_than_ms, oldest)
    if seqs := [seq for seq, _ in windows]:
        return "windows", seqs
    if not look_at_records:
        return None
    found = connection.execute("SELECT seq, at_ms, camera, kind, event, phase, exported_ms FROM records ORDER BY seq")
    first_window_seq = oldest[0][0] if oldest else math.inf
    records = [Head(*values) for values in found]
    seqs = expendable(records, math.inf if too_large else older_than_ms, first_window_seq)[:STEP_ROWS]
    return ("records", seqs) if seqs else None


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(pragma).fetchone()[0])
