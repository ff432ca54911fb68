"""A recording run again and compared with what the journal holds of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.errors import JournalError
from stan_edge.journal.reader import read_rows
from stan_edge.journal.schema import ALL
from stan_edge.records import Record
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame, Source

_NOT_COMPARED = {"latency_ms", "id", "camera", "method", "unexplained"}
"""The last two are new, and the same in every run of a recording."""


@dataclass(frozen=True)
class StoredRun:
    """The records of one run of one recording."""

    start: dict[str, Any]
    records: tuple[dict[str, Any], ...]
    """Windows and events."""
    end: dict[str, Any] | None
    """None: the run was cut off."""


class Collector(Sink):
    """Keeps records as JSON, as a run would have written them."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def record(self, record: Record) -> None:
        self.records.append(json.loads(json.dumps(record.to_json())))


class FirstFrames:
    """The beginning of a source, for a run that was stopped there."""

    def __init__(self, source: Source, frames: int) -> None:
        self.name, self.live = source.name, source.live
        self._source, self._left = source, frames

    def read(self) -> Frame | None:
        self._left -= 1
        return self._source.read() if self._left >= 0 else None

    def close(self) -> None:
        self._source.close()


def last_run(folder: Path, video: Path) -> StoredRun:
    """The last run of this recording; one of the same file name when none was called by this path.

    Raises:
        JournalError: there is none (the recordings that were run are named), or no journal; see `read_rows`.
    """
    records = read_rows(folder, "records").rows
    starts = [row for row in records if row.kind == "start"]
    files = [row for row in starts if not row.record["live"]]
    same = [row for row in files if row.camera == str(video)]
    same = same or [row for row in files if Path(row.camera).name == video.name]
    if not same:
        known = ", ".join(dict.fromkeys(row.camera for row in files)) or "none"
        raise JournalError(f"The journal {folder} has no run of {video}; recordings it has: {known}.")
    start = same[-1]
    later = [row.seq for row in starts if row.seq > start.seq and row.camera == start.camera]
    span = start.seq, later[0] if later else ALL[1]
    of_run = [row for row in records if span[0] < row.seq < span[1] and row.camera == start.camera]
    events = [row.record for row in of_run if row.kind == "event"]
    windows = [row.record for row in read_rows(folder, "windows", span).rows if row.camera == start.camera]
    ends = [row.record for row in of_run if row.kind == "end"]
    return StoredRun(start.record, (*windows, *events), ends[-1] if ends else None)


def differences(stored: StoredRun, fresh: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is not the same, a line each. Windows that the journal does not have are no difference (the disk was full,
    or they were deleted), nor is, for a run that was cut off, anything that it did not write."""
    before, now = _by_name(stored.records), _by_name(fresh)
    for name, record in before.items():
        yield from _differences(name, record, now.get(name))
    if stored.end is not None:
        for name in now:
            if name.startswith("event") and name not in before:
                yield f"{name}: not in the journal"
        yield from _differences("windows", stored.end["windows"], fresh[-1]["windows"])


def _by_name(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Windows, and starts and ends of events, which say all that their updates do."""
    named = {}
    for record in records:
        if record["type"] == "window":
            named[f"window {record['window']}"] = record
        elif record["type"] == "event" and record["phase"] != "update":
            named[f"event {record['event']} {record['phase']}"] = record
    return named


def _differences(where: str, stored: Any, fresh: Any) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(fresh, dict):
        for key in dict.fromkeys((*stored, *fresh)):
            if key not in _NOT_COMPARED:
                yield from _differences(f"{where} {key}", stored.get(key), fresh.get(key))
    elif isinstance(stored, list) and isinstance(fresh, list) and len(stored) == len(fresh):
        for k, (one, other) in enumerate(zip(stored, fresh, strict=True)):
            yield from _differences(f"{where} {k}", one, other)
    elif isinstance(stored, dict):
        yield f"{where}: not in the new run"
    elif stored != fresh:
        yield f"{where}: {json.dumps(stored)} in the journal, {json.dumps(fresh)} now"
