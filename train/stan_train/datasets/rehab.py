"""Rehabilitation recordings: videos and a CSV that describes them. The format is ours, as none is published.

Any `*.csv` in the folder with the header `video,patient,label,intervals` (further columns are no harm):

    video,patient,label,intervals
    p01/reach-1.mp4,p01,compensation,12-40;60-80
    p01/reach-2.mp4,p01,compensation,1.2s-3.4s
    p02/reach-1.mp4,p02,compensation,
    p02/reach-2.mp4,p02,background,none

`video` is relative to the CSV. `intervals` are where the label can be seen: frames from 0, the last one excluded
(12-40 is frame 12 to frame 39), or seconds; `none` for nowhere, empty or `?` where nobody looked. A patient is one
group; without a patient each video is a group of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stan_train.datasets.files import (
    Facts,
    Refusal,
    Row,
    clip_of,
    label_problem,
    not_here,
    open_video,
    read_table,
    videos,
    weak,
)
from stan_train.manifest import BACKGROUND, UNKNOWN, Clip, Intervals
from stan_train.probe import Probe

DATASET = "rehab"
READ_TOO = ("*.csv",)
COLUMNS = ("video", "patient", "label", "intervals")
_FRAMES = re.compile(r"(\d+)\s*-\s*(\d+)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*s\s*-\s*(\d+(?:\.\d+)?)\s*s")


def looks_like(folder: Path) -> bool:
    """Whether a table with our header lies in it."""
    return bool(_tables(folder))


def _tables(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.csv")) if _has_header(path)]


def _has_header(path: Path) -> bool:
    rows = read_table(path)
    return not isinstance(rows, Refusal) and bool(rows) and set(COLUMNS) <= rows[0].cells.keys()


def read(folder: Path) -> Iterator[Clip | Refusal]:
    """Clips and refusals, one table after the other."""
    seen: set[Path] = set()
    used = []
    for table in sorted(folder.glob("*.csv")):
        rows = read_table(table)
        if isinstance(rows, Refusal):
            yield rows
        elif not _has_header(table):
            yield Refusal(table, f"has no header {','.join(COLUMNS)}, or no row; it is not read")
        else:
            used.append(table.name)
            yield from _read_rows(table, rows, seen)
    for path in videos(folder):
        if path not in seen:
            yield Refusal(path, f"is in no row of {', '.join(used) or 'any table'}, so nobody says what it shows")


def _read_rows(table: Path, rows: list[Row], seen: set[Path]) -> Iterator[Clip | Refusal]:
    absent = []
    for row in rows:
        name = row.cells["video"]
        path = table.parent / name
        if not name or path in seen:
            yield Refusal(
                table, f"line {row.number}: " + (f"describes {name} a second time" if name else "names no video")
            )
            continue
        seen.add(path)
        if (problem := _problem(row)) is not None:
            yield Refusal(path, f"{table.name}, line {row.number}: {problem}")
        elif path.is_file():
            yield _read_clip(path, table, row)
        else:
            absent.append(name)
    if (refusal := not_here(table, absent)) is not None:
        yield refusal


def _problem(row: Row) -> str | None:
    if row.surplus > 0:
        return "more cells than the header has; separate intervals by ;"
    if not row.cells["label"]:
        return "no label"
    return label_problem(row.cells["label"])


def _read_clip(path: Path, table: Path, row: Row) -> Clip | Refusal:
    found = open_video(path)
    if isinstance(found, Refusal):
        return found
    label, patient = row.cells["label"], row.cells["patient"]
    try:
        important = parse_intervals(row.cells["intervals"], found)
        if important is None:
            important = weak(label)
        elif important and label == BACKGROUND:
            raise ValueError("a background clip shows nothing important; write none")
    except ValueError as error:
        return Refusal(path, f"{table.name}, line {row.number}: {error}")
    return clip_of(
        path, found, Facts(DATASET, label, patient or UNKNOWN, patient or row.cells["video"]), important=important
    )


def parse_intervals(text: str, found: Probe) -> Intervals | None:
    """Half-open intervals of frames; None where nobody looked.

    Raises:
        ValueError: it cannot be read, an interval runs backwards, or lies outside the clip.
    """
    if text in ("", "?"):
        return None
    if text == "none":
        return ()
    intervals = []
    for part in filter(None, map(str.strip, text.split(";"))):
        if match := _FRAMES.fullmatch(part):
            first, end = int(match[1]), int(match[2])
        elif match := _SECONDS.fullmatch(part):
            first, end = (round(float(time_s) * found.fps) for time_s in match.groups())
        else:
            raise ValueError(f"{part!r} is no interval; write it like 12-40 or 1.2s-3.4s")
        if first >= end:
            raise ValueError(f"the interval {part} runs backwards or is empty; correct the row")
        if end > found.frames:
            raise ValueError(
                f"the interval {part} lies outside the clip of {found.frames} frames, "
                f"{found.frames / found.fps:.2f} s; correct the row"
            )
        intervals.append((first, end))
    return tuple(intervals)
