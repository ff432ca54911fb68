"""One record as it is stored: its columns, and the sum by which damage is noticed."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from stan_edge.errors import JournalDamagedError
from stan_edge.journal.schema_1 import upgraded

WINDOW = "window"
MOST_WINDOW_BYTES = 1 << 20
"""Unpacked; they have 1,500."""
LARGEST_SEQ, LARGEST_AT_MS = 1 << 62, 253_402_300_799_000
"""What a row can hold and nobody has written: there is a number after it, and its time has a year."""
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "start": {"camera": str, "live": bool},
    WINDOW: {"camera": str, "window": int},
    "event": {"camera": str, "event": int, "phase": str, "label": str}
    | dict.fromkeys(("t_start_s", "t_end_s", "peak_probability"), (int, float)),
    "end": {"frames": int, "windows": dict},
}
"""Of a record, by kind, what a reader looks at."""


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
    def minor(self) -> bool:
        """A later record says it again, or it is one of very many."""
        return self.kind == WINDOW or self.phase == "update"

    @property
    def alarm(self) -> bool:
        """The start or the end of an event."""
        return self.kind == "event" and not self.minor

    @property
    def table(self) -> str:
        return "windows" if self.kind == WINDOW else "records"

    def stored(self) -> tuple[Any, ...]:
        """Values of the columns."""
        body: str | bytes = zlib.compress(self.body.encode()) if self.kind == WINDOW else self.body
        head = (self.seq, self.at_ms, self.camera, self.kind, self.event, self.phase)
        return (*head, self.exported_ms, body, checksum(head, body))

    @classmethod
    def loaded(cls, values: tuple[Any, ...]) -> Row:
        """From the values of the columns.

        Raises:
            JournalDamagedError: they are not what was stored.
        """
        *head, exported_ms, body, crc = values
        if not isinstance(body, str | bytes) or checksum(tuple(head), body) != crc:
            raise JournalDamagedError(f"Record {head[0]} is damaged.")
        seq, at_ms, camera, kind, event, phase = head
        marked = exported_ms if isinstance(exported_ms, int) else None
        row = cls(seq, at_ms, camera, kind, event, phase, marked, _text(body))
        if not row._is_plausible():
            raise JournalDamagedError(f"Record {seq} is not one that a run writes.")
        return row

    def _is_plausible(self) -> bool:
        """A right sum only shows that nothing has changed since; readers rely on these."""
        texts = isinstance(self.camera, str) and isinstance(self.kind, str)
        names = all(value is None or isinstance(value, str) for value in (self.event, self.phase))
        times = isinstance(self.at_ms, int) and 0 <= self.at_ms <= LARGEST_AT_MS
        if not (texts and names and times and 0 < self.seq <= LARGEST_SEQ):
            return False
        try:
            record = json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        needed = _FIELDS.get(self.kind, {})
        return (
            isinstance(record, dict)
            and record.get("type") == self.kind
            and (self.kind == "event") == (self.event is not None)
            and all(isinstance(record.get(name), kind) for name, kind in needed.items())
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


def checksum(head: tuple[Any, ...], body: str | bytes) -> int:
    # a text column that is no UTF-8 was damaged, and is read with replacements that have another sum
    data = body.encode(errors="replace") if isinstance(body, str) else body
    return zlib.crc32(data, zlib.crc32(json.dumps(head, default=repr).encode()))
