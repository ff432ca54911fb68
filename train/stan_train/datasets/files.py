"""What all formats share: which files are videos, how one is refused, tables, rows of clips."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stan_edge.errors import SourceError
from stan_edge.sources import Crop
from stan_train.manifest import BACKGROUND, REGION_SIDECAR, UNKNOWN, Clip, Intervals
from stan_train.probe import Probe, probe

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv")
)
LABEL = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Refusal:
    """A file (or a row of it) that did not become a clip, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Facts:
    """What a format knows about a clip before it is opened; fields as in `Clip`."""

    dataset: str
    label: str
    subject: str
    group: str
    camera: str = UNKNOWN
    crop: Crop | None = None


def walk(folder: Path) -> list[Path]:
    """Every file below a folder, in a stable order, also through links; hidden ones are left out."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and not _leads_back(Path(parent), n))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _leads_back(parent: Path, name: str) -> bool:
    """Whether a link leads to a folder that it lies in, and a walk through it would not end."""
    return parent.resolve().is_relative_to((parent / name).resolve())


def is_video(path: Path) -> bool:
    """By the name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def videos(folder: Path) -> list[Path]:
    """Every file below a folder that is a video by its name."""
    return [path for path in walk(folder) if is_video(path)]


def open_video(path: Path) -> Probe | Refusal:
    """What a video holds, or why it cannot be used."""
    if not str(path).isprintable():  # among others: bytes that are no UTF-8, which no manifest can hold
        return Refusal(path, "has a name that cannot be printed; rename it")
    try:
        return probe(path)
    except SourceError as error:
        return Refusal(path, str(error).removeprefix(f"{path} "))


def clip_of(
    path: Path,
    found: Probe,
    facts: Facts,
    *,
    important: Intervals | None,
    ignored: Intervals = (),
    region: str | None = None,
) -> Clip:
    """A manifest row; without a `region`, known boxes beside the clip are used, or the person is looked for."""
    if region is None:
        region = "sidecar" if path.with_name(path.stem + REGION_SIDECAR).is_file() else "pose"
    crop = facts.crop
    return Clip(
        path=path,
        dataset=facts.dataset,
        label=facts.label,
        subject=facts.subject,
        group=facts.group,
        camera=facts.camera,
        fps=found.fps,
        frames=found.frames,
        width_px=found.width_px if crop is None else crop.width_px,
        height_px=found.height_px if crop is None else crop.height_px,
        important=important,
        ignored=ignored,
        region=region,
        crop=crop,
    )


def weak(label: str) -> Intervals | None:
    """Important frames of a clip that has a label and nothing else."""
    return () if label == BACKGROUND else None


def label_problem(label: str) -> str | None:
    """Why a word cannot be a label; None when it can."""
    if LABEL.fullmatch(label):
        return None
    proposal = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    proposal = proposal if LABEL.fullmatch(proposal) else "chest_pain"
    return (
        f"label {label!r} is not of small letters, digits and underscores that begin with a letter; "
        f"write it like {proposal}"
    )


@dataclass(frozen=True)
class Row:
    """A row of a table; cells are stripped, and empty where the row is short."""

    number: int
    """Line in the file, from 1, where the row ends."""
    cells: dict[str, str]
    surplus: int
    """Cells beyond the header's (an unquoted comma, usually); negative where cells are missing."""


def read_table(path: Path) -> list[Row] | Refusal:
    """Rows of a CSV file under its header, or why it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            return [_row(reader.line_num, header, cells) for cells in reader if any(map(str.strip, cells))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return Refusal(path, f"cannot be read as a UTF-8 CSV file ({error}); save it as one")


def _row(number: int, header: list[str], cells: list[str]) -> Row:
    stripped = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
    return Row(number, dict(zip(header, stripped, strict=False)), len(cells) - len(header))


def not_here(table: Path, names: Iterable[str]) -> Refusal | None:
    """One refusal for all clips that a table describes and that are not on disk."""
    missing = list(names)
    if not missing:
        return None
    clips = "1 clip that is" if len(missing) == 1 else f"{len(missing)} clips that are"
    return Refusal(table, f"describes {clips} not here: {', '.join(missing)}")
