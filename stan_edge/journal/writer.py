"""The journal of a run: takes records at once, writes them in a thread of its own, and never stops the run.

An alarm (the start or the end of an event) is on the disk when `record` returns. What is not so urgent is committed
once a second. While the disk takes nothing, windows are counted and dropped, and everything else waits in memory.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from stan_edge.errors import JournalError
from stan_edge.journal import schema
from stan_edge.journal.folder import claim
from stan_edge.journal.rows import WINDOW, Row
from stan_edge.journal.store import CUT_OFF, Store, open_store
from stan_edge.journal.trimming import Trimming
from stan_edge.records import Event, Record
from stan_edge.retention import Retention
from stan_edge.worker import Worker

BATCH_S = 1.0
"""Windows are committed this often: what a power cut can take."""
ALARM_WAIT_S = 2.0
"""A disk that takes longer is not waited for: the alarm goes out, and is written once the disk answers."""
RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
CLOSE_WAIT_S = 20.0
MAX_WINDOWS = 1000
"""Waiting in memory: three minutes of one camera."""
MAX_RECORDS = 10_000
"""Waiting in memory while the disk is full: about 10 MB, thousands of alarms."""

_logger = logging.getLogger(__name__)


class Journal:
    """Writes the records of one or more cameras; any thread may call `record`.

    Each trouble is logged once, and once when it is over.

    Raises:
        ConfigError: the folder cannot be one of ours.
        JournalError: it holds somebody else's database or a newer journal, or another run writes it. What a disk does
            by itself (full, read-only, a damaged file) raises nothing, here or later.
    """

    def __init__(self, folder: Path, retention: Retention | None = None) -> None:
        self._folder = folder
        self._trimming = Trimming(folder, retention or Retention())
        self._lock: int | None = None
        with suppress(OSError):  # the thread tries again
            self._lock = claim(folder)
        # Not the worker's queue: a record stays in line until it is on the disk, all in line are one commit, and which
        # of them may go when there is no room depends on what they are.
        self._waiting: list[Row] = []
        self._lost: Counter[str] = Counter()
        self._trouble: str | None = None
        self._retry_s = RETRY_S
        self._store: Store | None = None
        self._damage: str | None = None
        self._opened_before = False
        self._worker: Worker[None] = Worker("journal", self._commit, done=self._done, leave=self._close_store)
        self._changed = self._worker.changed
        self._worker.start()

    def record(self, record: Record) -> None:
        """Take a record; an alarm is on the disk on return, unless the disk is in trouble, which was then logged."""
        # a file's name may hold bytes that are no text, which a database does not take
        camera = record.camera.encode(errors="backslashreplace").decode()
        fields = record.to_json() | {"camera": camera}
        body = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        event, phase = (record.id or f"{record.event}", record.phase) if isinstance(record, Event) else (None, None)
        row = _row(fields["type"], camera, event, phase, body)
        with self._changed:
            if not self._take(row) or not row.alarm or self._trouble is not None:
                return
            self._worker.wake()
            if not self._changed.wait_for(lambda: self._trouble is not None or not self._waits(row), ALARM_WAIT_S):
                self._in_trouble(f"no answer from the disk for {ALARM_WAIT_S:.0f} s")

    def close(self) -> None:
        """Write what waits, and let go of the folder. Safe to repeat."""
        ended = self._worker.close(CLOSE_WAIT_S)
        with self._changed:
            self._lost.update(_name(row) for row in self._waiting)
            self._waiting.clear()
            if self._lost:
                self._log(logging.WARNING, f"ended without {_counted(self._lost)}, which the disk did not take.")
                self._lost.clear()
        if self._lock is not None and ended:
            os.close(self._lock)
            self._lock = None

    # with the condition held, in any thread

    def _take(self, row: Row) -> bool:
        minor = sum(other.minor for other in self._waiting)
        if row.minor and (self._trouble is not None or minor >= MAX_WINDOWS):
            self._lost[_name(row)] += 1
            return False
        if not row.minor and len(self._waiting) - minor >= MAX_RECORDS:
            self._lost[_name(self._waiting.pop(0))] += 1
        self._waiting.append(row)
        return True

    def _waits(self, row: Row) -> bool:
        return any(other is row for other in self._waiting)

    def _in_trouble(self, why: str) -> None:
        if self._trouble is None:
            self._log(
                logging.WARNING,
                f"cannot be written ({why}); running goes on, and alarms are kept in memory until it can, "
                "windows are not.",
            )
        self._trouble = why
        self._lost.update(_name(row) for row in self._waiting if row.minor)
        self._waiting = [row for row in self._waiting if not row.minor]
        self._changed.notify_all()

    def _recover(self, written: list[Row]) -> None:
        if self._trouble is not None or self._lost:
            kept = _counted(Counter(map(_name, written)))
            text = f"can be written again; {kept} from memory are on the disk, {_counted(self._lost)} are lost."
            note = self._note("recovered", text, logging.INFO, lost=dict(self._lost), trouble=self._trouble)
            self._waiting.append(note)
            self._lost.clear()
            self._trouble = None
            self._worker.wake()

    # in the worker's thread

    def _commit(self) -> float:
        """Write what waits; returns when to do so again."""
        with self._changed:
            batch = list(self._waiting)
        why = self._write(batch)
        with self._changed:
            if why is None:
                self._retry_s = RETRY_S
                self._recover(batch)
                return BATCH_S
            self._in_trouble(why)
            self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
            return self._retry_s

    def _done(self) -> bool:
        return self._trouble is not None or not self._waiting

    def _write(self, batch: list[Row]) -> str | None:
        """Why the disk did not take all; None: it did. What it took waits no longer."""
        why = ""
        for _ in range(2):  # a damaged file is replaced, and written to at once
            try:
                store = self._store or self._open()
                store.append(batch)
                with self._changed:
                    done = set(map(id, batch))
                    self._waiting = [row for row in self._waiting if id(row) not in done]
                    self._changed.notify_all()
                batch = []
                if too_large := self._trimming.step(store.connection):
                    store.append([self._note("too_large", too_large)])
                return None
            except (OSError, JournalError, sqlite3.Error) as error:
                why = str(error).rstrip(".")
                self._damage = why if schema.is_damage(error) else None
                if not any(word in why for word in ("full", "locked")):
                    self._close_store()
                if self._damage is None:
                    break
        return why

    def _open(self) -> Store:
        if self._lock is None:
            self._lock = claim(self._folder)
        store, repaired = open_store(self._folder, self._damage)
        self._store, self._damage = store, None
        if repaired is not None:
            store.append([self._note("set_aside", repaired)])
        if store.unended and not self._opened_before:
            text = (
                f"the last run ({', '.join(store.unended)}) was cut off; the journal is whole up to record "
                f"{store.last_seq}, and what came later, at most a second of windows, is lost."
            )
            store.append([self._note(CUT_OFF, text)])
        self._opened_before = True
        return store

    def _close_store(self) -> None:
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.close()
            self._store = None

    def _note(self, phase: str, text: str, level: int = logging.WARNING, **figures: object) -> Row:
        """Log a sentence, and give the record of it."""
        self._log(level, text)
        return _row("journal", "", None, phase, json.dumps({"type": "journal", "what": phase, "text": text, **figures}))

    def _log(self, level: int, text: str) -> None:
        _logger.log(level, "journal %s: %s", self._folder, text)


def _row(kind: str, camera: str, event: str | None, phase: str | None, body: str) -> Row:
    """Not numbered yet."""
    return Row(0, time.time_ns() // 1_000_000, camera, kind, event, phase, None, body)


def _name(row: Row) -> str:
    return "alarms" if row.alarm else "windows" if row.kind == WINDOW else f"{row.kind} records"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "nothing"
