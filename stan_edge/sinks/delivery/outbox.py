"""Messages that wait until the other side has them."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import deque
from pathlib import Path

from stan_edge.errors import ConfigError
from stan_edge.sinks.delivery.message import Message

_logger = logging.getLogger(__name__)

LIMIT = 10_000
"""About 15 MB: ten minutes without a receiver make at most 2,400 messages, four classes alarming all the time."""
LARGEST_NUMBER = 1 << 62
"""There must be numbers after it."""

# `spare` is what files of earlier versions call `droppable`
TABLE = "CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, key TEXT, body BLOB, spare INTEGER)"


class Outbox:
    """A bounded queue. It is kept in memory, so that a full disk stops no alarm, and copied to a file when one is
    given, so that a restart loses none.

    When it is full the oldest update goes, or else the oldest message, but never the first: that one may be on its way.

    Args:
        path: an SQLite file, used by nobody else; what it holds from before comes first.

    Raises:
        ConfigError: the file cannot be opened, or another process uses it.
    """

    def __init__(self, path: Path | None, limit: int = LIMIT) -> None:
        self._limit = limit
        self._path = path
        self._writable = True
        self.lost = 0
        """Messages thrown away because there was no room."""
        self._waiting: deque[tuple[int, Message]] = deque()
        self._file: sqlite3.Connection | None = None
        if path is not None:
            self._file, waiting = _open(path)
            self._waiting.extend(waiting)
        self._number = self._waiting[-1][0] if self._waiting else 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def lasting(self) -> bool:
        """Whether what waits is still there after a restart."""
        return self._file is not None and self._writable

    def put(self, message: Message) -> None:
        """Add a message at the end."""
        self._number += 1
        self._waiting.append((self._number, message))
        row = (self._number, message.key, message.body, message.droppable)
        self._write("INSERT INTO outbox VALUES (?, ?, ?, ?)", row)
        if len(self._waiting) > self._limit:
            place = next((i for i, (_, other) in enumerate(self._waiting) if i > 0 and other.droppable), 1)
            number = self._waiting[place][0]
            del self._waiting[place]
            self.lost += 1
            self._write("DELETE FROM outbox WHERE number = ?", (number,))

    def first(self) -> Message | None:
        """The oldest message; it stays until `remove_first`."""
        return self._waiting[0][1] if self._waiting else None

    def remove_first(self) -> None:
        """The other side has it."""
        number, _ = self._waiting.popleft()
        self._write("DELETE FROM outbox WHERE number = ?", (number,))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, statement: str, values: tuple[int | str | bytes, ...]) -> None:
        if self._file is None:
            return
        try:
            self._file.execute(statement, values)
        except sqlite3.Error as error:
            if self._writable:
                _logger.warning(
                    "%s: cannot be written (%s); messages wait in memory only, make room.", self._path, error
                )
            self._writable = False
        else:
            self._writable = True


def _open(path: Path) -> tuple[sqlite3.Connection, list[tuple[int, Message]]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _read(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            aside = path.with_name(path.name + ".damaged")
            path.replace(aside)
            _logger.warning("%s: is damaged (%s); it was moved to %s and a new one begun.", path, error, aside.name)
            return _read(path)
    except (OSError, sqlite3.Error) as error:
        problem = "is used by another stan-edge" if "locked" in str(error) else f"cannot be opened ({error})"
        raise ConfigError(f"{path} {problem}; give another folder.", field="outbox.folder") from error


def _read(path: Path) -> tuple[sqlite3.Connection, list[tuple[int, Message]]]:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it says what befell a person
    # made here, used by the thread that sends; EXCLUSIVE holds the lock until `close`
    file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")  # a few messages a second at most: each one survives a power cut
        file.execute("BEGIN IMMEDIATE")
        file.execute(TABLE)
        file.execute("COMMIT")
        waiting = []
        for number, key, body, spare in file.execute("SELECT number, key, body, spare FROM outbox ORDER BY number"):
            if not (isinstance(key, str) and isinstance(body, bytes) and number < LARGEST_NUMBER):
                raise sqlite3.DatabaseError(f"row {number} is no message")
            waiting.append((number, Message(key, body, bool(spare))))
        (found,) = file.execute("PRAGMA quick_check").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        file.close()
        raise
    return file, waiting
