"""Rows of a damaged file, read page by page without SQLite; each is checked by its own sum.

The layout of pages and cells: https://www.sqlite.org/fileformat2.html. A row that does not fit into one page (4 kB of
JSON) is not found; rows deleted a moment ago may be, and are then deleted again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from stan_edge.errors import JournalDamagedError
from stan_edge.journal.rows import WINDOW, Row
from stan_edge.journal.schema import PAGE_BYTES

_LEAF = 0x0D
_COLUMNS = 9
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {0: None, 8: 0, 9: 1}


def salvage(path: Path, *, windows: bool = True) -> Iterator[Row]:
    """Whole rows of a database file and its WAL, in no order, some more than once.

    Args:
        windows: False: only records, which is much faster where most pages are windows.
    """
    wal = path.with_name(path.name + "-wal")
    in_wal = _pages(wal, _WAL_HEADER_BYTES, _FRAME_HEADER_BYTES) if wal.exists() else ()
    for page in chain(_pages(path, 0, 0), in_wal):
        for row in _rows(page):
            if row.kind == WINDOW and not windows:
                break  # a page belongs to one table
            yield row


def _pages(path: Path, offset: int, before: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        for start in range(offset + before, path.stat().st_size, before + PAGE_BYTES):
            try:
                file.seek(start)
                page = file.read(PAGE_BYTES)
            except OSError:  # a sector that cannot be read
                continue
            yield page.ljust(PAGE_BYTES, b"\0")


def _rows(page: bytes) -> Iterator[Row]:
    if page[0] != _LEAF:
        return
    (cells,) = struct.unpack_from(">H", page, 3)
    for k in range(min(cells, (PAGE_BYTES - 8) // 2)):
        (start,) = struct.unpack_from(">H", page, 8 + 2 * k)
        try:
            yield Row.loaded(_cell(page, start))
        except (LookupError, ValueError, zlib.error, JournalDamagedError):
            continue


def _cell(page: bytes, start: int) -> tuple[Any, ...]:
    """Values of the row at this offset.

    Raises:
        LookupError, ValueError: there is none.
    """
    _, at = _varint(page, start)
    seq, at = _varint(page, at)
    header_bytes, after = _varint(page, at)
    end, types = at + header_bytes, []
    while after < end:
        kind, after = _varint(page, after)
        types.append(kind)
    if len(types) != _COLUMNS or after != end:
        raise ValueError("no row of ours")
    values: list[Any] = []
    for kind in types:
        size = _INT_BYTES[kind] if kind in _INT_BYTES else max((kind - 12) // 2, 0)
        raw = page[end : end + size]
        if len(raw) != size:
            raise ValueError("beyond the page")
        end += size
        if kind >= 12:
            values.append(raw.decode() if kind % 2 else raw)
        else:
            values.append(_CONSTANTS[kind] if size == 0 else int.from_bytes(raw, "big", signed=True))
    return (seq, *values[1:])  # the key column itself is empty


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k in range(8):
        byte = page[at + k]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + k + 1
    return value << 8 | page[at + 8], at + 9
