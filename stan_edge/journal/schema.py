"""The file: its tables, its rows, and whether what lies there is one."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.errors import JournalDamagedError, JournalError
from stan_edge.journal.schema_1 import upgraded

FILE = "journal.db"
SCHEMA = 1
APPLICATION_ID = 0x5354414E
PAGE_BYTES = 4096
WAL_PAGES = 256
"""About ten minutes of one camera."""
WINDOW = "window"
TABLES = ("records", "windows")
ALL = (0, (1 << 63) - 1)
MOST_WINDOW_BYTES = 1 << 20
"""Unpacked; they have 1,500."""
LARGEST_SEQ, LARGEST_AT_MS = 1 << 62, 253_402_300_799_000
"""What a row can hold and nobody has written: there is a number after it, and its time has a year."""
BUSY_S = 5.0
"""Writers wait for each other this long: a run, and `events --mark-exported`."""

# the comment is kept in the file's first page: a second mark beside the application id, should either be damaged
_COLUMNS = f"""( -- stan-edge journal {SCHEMA}
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    camera TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT,
    phase TEXT,
    exported_ms INTEGER,
    body BLOB NOT NULL,
    crc INTEGER NOT NULL
)"""
_SQL = {table: f"CREATE TABLE {table} {_COLUMNS}" for table in TABLES}
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "start": {"camera": str, "live": bool},
    WINDOW: {"camera": str, "window": int},
    "event": {"camera": str, "event": int, "phase": str, "label": str}
    | dict.fromkeys(("t_start_s", "t_end_s", "peak_probability"), (int, float)),
    "end": {"frames": int, "windows": dict},
}
"""Of a record, by kind, what a reader looks at."""
_MAGIC = b"SQLite format 3\0"
_FIXED = {  # offset in the header: what every journal has there
    16: struct.pack(">H", PAGE_BYTES),
    18: b"\x02\x02\x00\x40\x20\x20",  # WAL for reading and writing, no reserved bytes, payload fractions
    44: struct.pack(">I", 4),
    56: struct.pack(">I", 1),
    60: struct.pack(">I", SCHEMA),
    64: struct.pack(">I", 1),  # incremental vacuum
    68: struct.pack(">I", APPLICATION_ID),
}


@dataclass(frozen=True)
class Head:
    """What is known of a record without reading it."""

    seq: int
    """Rises by one from record to record, across restarts; a number lost to a power cut is given again."""
    at_ms: int
    """Wall-clock time, since 1970 in UTC."""
    camera: str
    kind: str
    """start, status, load, window, event, end, or journal."""
    event: str | None
    phase: str | None
    exported_ms: int | None


@dataclass(frozen=True)
class Row(Head):
    """One record as it is stored."""

    body: str
    """JSON."""

    @property
    def record(self) -> dict[str, Any]:
        """The record in the present schema, whichever it was written in."""
        return upgraded(json.loads(self.body))

    @property
    def table(self) -> str:
        return "windows" if self.kind == WINDOW else "records"

    def stored(self) -> tuple[Any, ...]:
        """Values of the columns."""
        body: str | bytes = zlib.compress(self.body.encode()) if self.kind == WINDOW else self.body
        head = (self.seq, self.at_ms, self.camera, self.kind, self.event, self.phase)
        return (*head, self.exported_ms, body, _crc(head, body))

    @classmethod
    def loaded(cls, values: tuple[Any, ...]) -> Row:
        """From the values of the columns.

        Raises:
            JournalDamagedError: they are not what was stored.
        """
        *head, exported_ms, body, crc = values
        if not isinstance(body, str | bytes) or _crc(tuple(head), body) != crc:
            raise JournalDamagedError(f"Record {head[0]} is damaged.")
        seq, at_ms, camera, kind, event, phase = head
        marked = exported_ms if isinstance(exported_ms, int) else None
        row = cls(seq, at_ms, camera, kind, event, phase, marked, _text(body))
        if not row._can_be_ours():
            raise JournalDamagedError(f"Record {seq} is none of ours.")
        return row

    def _can_be_ours(self) -> bool:
        """A right sum only says that nothing has changed since; readers rely on these."""
        texts = isinstance(self.camera, str) and isinstance(self.kind, str)
        names = all(value is None or isinstance(value, str) for value in (self.event, self.phase))
        times = isinstance(self.at_ms, int) and 0 <= self.at_ms <= LARGEST_AT_MS
        if not (texts and names and times and 0 < self.seq <= LARGEST_SEQ):
            return False
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        needed = _FIELDS.get(self.kind, {})
        return (
            isinstance(said, dict)
            and said.get("type") == self.kind
            and (self.kind == "event") == (self.event is not None)
            and all(isinstance(said.get(name), kind) for name, kind in needed.items())
        )


def _text(body: str | bytes) -> str:
    """What was stored; a few bytes can unpack to anything, so there is a limit."""
    if isinstance(body, str):
        return body
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(body, MOST_WINDOW_BYTES).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise JournalDamagedError(f"A window cannot be unpacked ({error}).") from error
    if not unpacking.eof:
        raise JournalDamagedError("A window is larger than any that was written.")
    return text


def _crc(head: tuple[Any, ...], body: str | bytes) -> int:
    # a text column that is no UTF-8 was damaged, and is read with replacements that have another sum
    data = body.encode(errors="replace") if isinstance(body, str) else body
    return zlib.crc32(data, zlib.crc32(json.dumps(head, default=repr).encode()))


def create(path: Path) -> sqlite3.Connection:
    """A new, empty file; the caller renames it once it is whole."""
    return _prepared(
        _connect(f"file:{_quoted(path)}?mode=rwc"),
        "PRAGMA auto_vacuum = INCREMENTAL",
        f"PRAGMA page_size = {PAGE_BYTES}",
        "PRAGMA journal_mode = WAL",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA}",
        *_SQL.values(),
    )


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A file that `check_file` has passed."""
    return _prepared(
        _connect(f"file:{_quoted(path)}?mode=rw"),
        "PRAGMA synchronous = FULL",  # every commit is on the disk before it returns
        f"PRAGMA wal_autocheckpoint = {WAL_PAGES}",
        f"PRAGMA journal_size_limit = {WAL_PAGES * PAGE_BYTES}",
    )


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Beside a writer, or in a folder that cannot be written."""
    try:
        return _prepared(_connect(f"file:{_quoted(path)}?mode=ro"))
    except sqlite3.OperationalError:
        if not path.with_name(path.name + "-wal").exists():
            return _prepared(_connect(f"file:{_quoted(path)}?immutable=1"))
        # without its shared memory, which cannot be made there, a WAL is read by whoever has the file for itself
        connection = _connect(f"file:{_quoted(path)}?mode=ro&vfs=unix-none")
        return _prepared(connection, "PRAGMA locking_mode = EXCLUSIVE")


def rows(connection: sqlite3.Connection, table: str, seqs: tuple[int, int] = ALL) -> Iterator[Row]:
    """The rows with these numbers (first and last), in order.

    Raises:
        JournalDamagedError: one is not what was stored.
        sqlite3.DatabaseError: the file is damaged, or cannot be read.
    """
    for values in connection.execute(f"SELECT * FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq", seqs):
        yield Row.loaded(values)


def insert(connection: sqlite3.Connection, stored: Iterable[Row], *, again: bool = False) -> None:
    """Write rows in one transaction.

    Args:
        again: a row may be there already; then only its mark is taken over.
    """
    known = "ON CONFLICT (seq) DO UPDATE SET exported_ms = coalesce(exported_ms, excluded.exported_ms)" if again else ""
    with transaction(connection):
        for row in stored:
            connection.execute(f"INSERT INTO {row.table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) {known}", row.stored())


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is done within is done, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_file(path: Path) -> None:
    """Look at the first page, before SQLite does.

    Raises:
        JournalError: it is somebody else's database, or of a newer schema.
        JournalDamagedError: it is no whole journal.
    """
    with path.open("rb") as file:
        head = file.read(PAGE_BYTES)
    mark = re.search(rb"stan-edge journal (\d+)", head)
    application, version = (head[68:72], head[60:64])
    if head.startswith(_MAGIC) and application != _FIXED[68] and mark is None:
        raise JournalError(f"{path} is a database of another program, not a journal; give another folder.")
    if mark and len(mark[1]) < 10 and int(mark[1]) == int.from_bytes(version, "big") > SCHEMA:
        raise JournalError(
            f"{path} has schema {int(mark[1])}, this stan-edge reads {SCHEMA}; install the stan-edge that wrote it."
        )
    if not head.startswith(_MAGIC) or any(head[at : at + len(fixed)] != fixed for at, fixed in _FIXED.items()):
        raise JournalDamagedError(f"{path}: its first page is damaged.")


def is_damage(error: Exception) -> bool:
    """Whether the file is at fault, and not the disk or another process."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(word in str(error) for word in ("disk I/O", "full", "readonly", "locked", "unable to open"))
    return isinstance(error, JournalDamagedError | sqlite3.Error)


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def _prepared(connection: sqlite3.Connection, *statements: str) -> sqlite3.Connection:
    """After these statements, and if its tables are ours."""
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
        if dict(connection.execute("SELECT name, sql FROM sqlite_master")) != _SQL:
            raise JournalDamagedError("The list of tables is damaged.")
    except BaseException:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
