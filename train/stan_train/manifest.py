"""The manifest: one CSV row a clip, all that training and evaluation need to know about it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.files import replacing
from stan_edge.sources import Crop

T = TypeVar("T", int, float)

BACKGROUND = "background"
"""The label of a clip in which nothing that matters happens."""
UNKNOWN = "unknown"
"""Subject or camera that nobody wrote down."""
REGION_SIDECAR = ".regions.npz"
"""`clip.mp4` may lie beside `clip.regions.npz` with the person's `boxes` float32 [L, 4] (tight, frame pixels after
`crop`, NaN where nobody is visible) and optionally `masks`: uint8 [L, H, ceil(W / 8)], packed bits of the body."""

Intervals = tuple[tuple[int, int], ...]
"""Half-open intervals of source frames, (first, end)."""


@dataclass(frozen=True)
class Clip:
    """A row. Paths are relative to the manifest's folder, or absolute."""

    path: Path
    dataset: str
    label: str
    subject: str
    group: str
    """Clips of one group are never split between training and test (one performance filmed by three cameras)."""
    camera: str
    fps: float
    frames: int
    width_px: int
    height_px: int
    """Size of the part of the picture that is used: after `crop`."""
    important: Intervals | None
    """Frames in which the label's activity itself is visible; () for none, None where nobody marked them."""
    ignored: Intervals
    """Frames on which nobody is trained or judged (lying on the floor after a fall)."""
    region: str
    """Where the person's region comes from: `pose` (looked for), `sidecar` (known boxes beside the clip), `skeleton`
    (NTU's file beside the clip), `none` (the whole frame)."""
    crop: Crop | None

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps

    @property
    def name(self) -> str:
        """Short name for people: the last two parts of the path."""
        return "/".join(self.path.parts[-2:])

    def important_flags(self) -> NDArray[np.bool_]:
        """bool [L]; all True for an activity whose frames nobody marked."""
        if self.important is None:
            return np.full(self.frames, self.label != BACKGROUND)
        return _flags(self.important, self.frames)

    def ignored_flags(self) -> NDArray[np.bool_]:
        """bool [L]."""
        return _flags(self.ignored, self.frames)


def _flags(intervals: Intervals, frames: int) -> NDArray[np.bool_]:
    flags = np.zeros(frames, bool)
    for first, end in intervals:
        flags[first:end] = True
    return flags


def intervals_of(flags: Sequence[bool] | NDArray[np.bool_]) -> Intervals:
    """Runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return tuple((int(first), int(end)) for first, end in edges.reshape(-1, 2))


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write rows; clips inside the manifest's folder are written relative to it, so that both can move."""
    home = _absolute(path.parent)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Clip)])
        for clip in clips:
            row = {field.name: getattr(clip, field.name) for field in fields(Clip)}
            there = _absolute(clip.path)
            row["path"] = there.relative_to(home) if there.is_relative_to(home) else there
            row["fps"] = f"{clip.fps:.6g}"
            row["important"] = "?" if clip.important is None else _intervals_text(clip.important)
            row["ignored"] = _intervals_text(clip.ignored)
            c = clip.crop
            row["crop"] = "" if c is None else f"{c.x_px},{c.y_px},{c.width_px},{c.height_px}"
            writer.writerow(row.values())


def _absolute(path: Path) -> Path:
    """As the user sees it: what a clip is called and what lies beside it may differ where a link leads."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def read_manifest(path: Path) -> tuple[Clip, ...]:
    """Read rows; paths come back absolute.

    Raises:
        ConfigError: it cannot be read, lacks a column, or a row is wrong (the row and column are named).
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [field.name for field in fields(Clip) if field.name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path}: column {missing[0]!r} is missing; `stan-edge data scan` writes whole manifests."
                )
            clips = tuple(_parse(path, reader.line_num, row) for row in reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); `stan-edge data scan` writes a manifest.") from error
    if not clips:
        raise ConfigError(f"{path} lists no clip; scan a folder that holds some.")
    return clips


def _parse(path: Path, line: int, row: dict[str, str]) -> Clip:
    column = ""

    def text(name: str) -> str:
        nonlocal column
        column = name
        return row[name] or ""

    try:
        frames = _positive(int(text("frames")))
        if not text("path"):
            raise ValueError("is empty")
        clip = Clip(
            path=_absolute(path.parent / text("path")),
            dataset=text("dataset"),
            label=text("label"),
            subject=text("subject"),
            group=text("group"),
            camera=text("camera"),
            frames=frames,
            fps=_positive(float(text("fps"))),
            width_px=_positive(int(text("width_px"))),
            height_px=_positive(int(text("height_px"))),
            important=None if text("important") == "?" else _intervals(text("important"), frames),
            ignored=_intervals(text("ignored"), frames),
            region=_one_of(text("region"), ("pose", "sidecar", "skeleton", "none")),
            crop=Crop.parse(text("crop")) if text("crop") else None,
        )
        if not text("label"):
            raise ValueError("is empty")
        if text("label") == BACKGROUND and clip.important and text("important"):
            raise ValueError("background shows nothing important")
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{path}, line {line}: {column} {row[column]!r} is wrong ({error}); correct it.") from error
    return clip


def _positive(value: T) -> T:
    if not 0 < value < float("inf"):
        raise ValueError("must be above 0")
    return value


def _one_of(value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return value


def _intervals_text(intervals: Intervals) -> str:
    return ";".join(f"{first}-{end}" for first, end in intervals)


def _intervals(text: str, frames: int) -> Intervals:
    found = []
    for part in filter(None, text.split(";")):
        first, _, end = part.partition("-")
        interval = int(first), int(end)
        if not 0 <= interval[0] < interval[1] <= frames:
            raise ValueError(f"interval {part} does not lie in the clip's {frames} frames")
        found.append(interval)
    return tuple(found)
