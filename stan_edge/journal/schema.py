"""The file: its tables, how it is opened, and whether what lies there is one."""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stan_edge.errors import JournalDamagedError, JournalError
from stan_edge.journal.rows import Row

FILE = "journal.db"
SCHEMA = 1
APPLICATION_ID = 0x5354414E
PAGE_BYTES = 4096
WAL_PAGES = 256
"""About ten minutes of one camera."""
TABLES = ("records", "windows")
ALL = (0, (1 << 63) - 1)
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


def create(path: Path) -> sqlite3.Connection:
    """A new, empty file; the caller renames it once it is whole."""
    return _opened(
        f"{path.absolute().as_uri()}?mode=rwc",
        "PRAGMA auto_vacuum = INCREMENTAL",
        f"PRAGMA page_size = {PAGE_BYTES}",
        "PRAGMA journal_mode = WAL",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {SCHEMA}",
        *_SQL.values(),
    )


def open_for_writing(path: Path) -> sqlite3.Connection:
    """A file that `check_file` has passed."""
    return _opened(
        f"{path.absolute().as_uri()}?mode=rw",
        "PRAGMA synchronous = FULL",  # every commit is on the disk before it returns
        f"PRAGMA wal_autocheckpoint = {WAL_PAGES}",
        f"PRAGMA journal_size_limit = {WAL_PAGES * PAGE_BYTES}",
    )


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Beside a writer, or in a folder that cannot be written."""
    uri = path.absolute().as_uri()
    try:
        return _opened(f"{uri}?mode=ro")
    except sqlite3.OperationalError:
        if not path.with_name(path.name + "-wal").exists():
            return _opened(f"{uri}?immutable=1")
        # without its shared memory, which cannot be made there, a WAL is read by whoever has the file for itself
        return _opened(f"{uri}?mode=ro&vfs=unix-none", "PRAGMA locking_mode = EXCLUSIVE")


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


def _opened(uri: str, *statements: str) -> sqlite3.Connection:
    """After these statements, and if its tables are ours."""
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    try:
        for statement in statements:
            connection.execute(statement).fetchall()
        if dict(connection.execute("SELECT name, sql FROM sqlite_master")) != _SQL:
            raise JournalDamagedError("The list of tables is damaged.")
    except BaseException:
        connection.close()
        raise
    return connection
