"""GMDCSA24: `Subject N/{Fall,ADL}/NN.mp4` beside `Subject N/{Fall,ADL}.csv`, whose `Classes` say what happens when.

A "Falling" interval runs on through lying on the floor. Its first `FALL_S` seconds are the fall, the rest is ignored:
nobody is trained or judged on it. Times in the tables are often cut to whole seconds, so a fall that nothing follows
runs to the last frame. Clips under `ADL` are background throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stan_train.datasets.files import Facts, Refusal, Row, clip_of, is_video, not_here, open_video, read_table, walk
from stan_train.manifest import BACKGROUND, Clip, Intervals
from stan_train.probe import Probe

DATASET = "gmdcsa24"
READ_TOO = ("Fall.csv", "ADL.csv")
FALL_S = 1.8
"""From the start of an interval to lying still: 1.3 to 2.5 s in five of its clips, by eye."""
END_TOLERANCE_S = 1.0
"""Tables count whole seconds, so an end may lie this far beyond the last frame."""
COLUMNS = ("File Name", "Classes")
FALLING = "Falling"
ACTIVITIES = frozenset(
    ("Drinking", "Eating", "Exercising", "Reading", "Sitting", "Sleeping", "Standing", "Walking", "Writing", FALLING)
)

# `Falling (SW)[3.4 to 6]`, also with `Fall`, spaces, or a missing closing bracket of either kind
_ACTIVITY = re.compile(r"([A-Z][a-z]+)\s*(?:\(\s*[A-Z]{2}\s*\)?)?\s*(?:\[([^\]A-Z]*)\]?)?")
_INTERVAL = re.compile(r"(\d+(?:\.\d+)?)(?:\s+to\s+|\s+)(\d+(?:\.\d+)?)")
_BETWEEN = re.compile(r"[\s;:]*")


@dataclass(frozen=True)
class Activity:
    """One entry of `Classes`; intervals in seconds, none where the table gives none."""

    name: str
    intervals_s: tuple[tuple[float, float], ...]


def parse_classes(text: str) -> tuple[Activity, ...]:
    """Read a cell like `Falling (SW)[3.4 to 6]; Standing[0 to 0.5; 4.2 to 6.5]`.

    Raises:
        ValueError: it cannot be read, names an activity that does not exist, or an interval runs backwards.
    """
    found = []
    at = 0
    for match in _ACTIVITY.finditer(text):
        _check_nothing(text[at : match.start()])
        at = match.end()
        name = FALLING if match[1] == "Fall" else match[1]
        if name not in ACTIVITIES:
            raise ValueError(f"{name!r} is an unknown label; correct the row")
        parts = [part.strip() for part in (match[2] or "").split(";")]
        found.append(Activity(name, tuple(_interval(name, part) for part in parts if part)))
    _check_nothing(text[at:])
    if not found:
        raise ValueError("Classes is empty; correct the row")
    return tuple(found)


def _check_nothing(between: str) -> None:
    if not _BETWEEN.fullmatch(between):
        raise ValueError(f"{between.strip()!r} cannot be read; correct the row")


def _interval(name: str, text: str) -> tuple[float, float]:
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{name}: {text!r} is no interval; write it like [3.4 to 6]")
    first_s, end_s = float(match[1]), float(match[2])
    if first_s >= end_s:
        raise ValueError(f"{name}: the interval {text} runs backwards; correct the row")
    return first_s, end_s


def looks_like(folder: Path) -> bool:
    """Whether a table lies beside the folder it describes."""
    return bool(_tables(folder))


def _tables(folder: Path) -> list[Path]:
    tables = [path for path in walk(folder) if path.name in READ_TOO]
    return sorted(path for path in tables if path.with_suffix("").is_dir() or path.parent.name.startswith("Subject"))


def read(folder: Path) -> Iterator[Clip | Refusal]:
    """Clips and refusals, one table after the other."""
    for table in _tables(folder):
        yield from _read_table(table)


def _read_table(table: Path) -> Iterator[Clip | Refusal]:
    rows = read_table(table)
    if isinstance(rows, Refusal):
        yield rows
        return
    if rows and (missing := [name for name in COLUMNS if name not in rows[0].cells]):
        yield Refusal(table, f"has no column {missing[0]!r}; its columns must be {', '.join(COLUMNS)}")
        return
    seen: set[str] = set()
    absent: list[str] = []
    for row in rows:
        name = row.cells["File Name"]
        path = table.with_suffix("") / name
        if not name or name in seen:
            yield Refusal(
                table, f"line {row.number}: " + (f"describes {name} a second time" if name else "names no file")
            )
            continue
        seen.add(name)
        try:
            if row.surplus:
                count = len(row.cells)
                raise ValueError(
                    f"{count + row.surplus} cells, where the header has {count}; quote commas or remove them"
                )
            activities = _activities(table.stem, row)
        except ValueError as error:
            yield Refusal(path, f"{table.name}, line {row.number}: {error}")
            continue
        if path.is_file():
            yield _read_clip(path, activities)
        else:
            absent.append(name)
    if (refusal := not_here(table, absent)) is not None:
        yield refusal
    for path in sorted(table.with_suffix("").glob("*")):
        if is_video(path) and path.name not in seen:
            yield Refusal(path, f"is in no row of {table.name}, so nobody says what happens in it")


def _activities(kind: str, row: Row) -> tuple[Activity, ...]:
    activities = parse_classes(row.cells["Classes"])
    falls = [activity for activity in activities if activity.name == FALLING]
    if kind == "ADL" and falls:
        raise ValueError("a fall among the daily activities; move it to Fall")
    if kind == "Fall" and not any(activity.intervals_s for activity in falls):
        raise ValueError("says nowhere when the fall happens; add Falling[from to until]")
    return activities


def _read_clip(path: Path, activities: tuple[Activity, ...]) -> Clip | Refusal:
    found = open_video(path)
    if isinstance(found, Refusal):
        return found
    duration_s = found.frames / found.fps
    for activity in activities:
        for first_s, end_s in activity.intervals_s:
            if first_s >= duration_s or end_s > duration_s + END_TOLERANCE_S:
                return Refusal(
                    path,
                    f"{activity.name}[{first_s:g} to {end_s:g}] lies outside the clip, which lasts {duration_s:.1f} s",
                )
    subject = path.parent.parent.name.lower().replace(" ", "-")
    falls = any(activity.name == FALLING for activity in activities)
    facts = Facts(DATASET, "falling" if falls else BACKGROUND, subject, subject)
    important, ignored = _fall_frames(activities, found)
    return clip_of(path, found, facts, important=important, ignored=ignored)


def _fall_frames(activities: tuple[Activity, ...], found: Probe) -> tuple[Intervals, Intervals]:
    """Frames of falling, and of lying after it."""
    important, ignored = [], []
    falls = [span for activity in activities if activity.name == FALLING for span in activity.intervals_s]
    last_s = max((end_s for activity in activities for _, end_s in activity.intervals_s), default=0.0)
    for first_s, end_s in sorted(falls):
        first = min(round(first_s * found.fps), found.frames - 1)
        end = found.frames if end_s >= last_s else min(max(round(end_s * found.fps), first + 1), found.frames)
        lies = min(max(round((first_s + FALL_S) * found.fps), first + 1), end)
        important.append((first, lies))
        if lies < end:
            ignored.append((lies, end))
    return tuple(important), tuple(ignored)
