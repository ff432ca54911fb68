"""UR Fall Detection: `fall-NN-cam0.mp4` beside `urfall-cam0-falls.csv`, and `adl-NN-cam0.mp4`.

Left half of the picture is depth, the right half (columns 320 to 639) is cropped and used. The table says for every
frame (counted from 1): -1 not lying, 0 falling, 1 on the ground. Frames labelled 0 are important; frames labelled 1,
and frames that the table does not mention, are ignored. `adl` clips are background throughout. Who is seen was not
published, so each clip is a group of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from stan_edge.sources import Crop
from stan_train.datasets.files import Facts, Refusal, clip_of, not_here, open_video, videos, walk
from stan_train.datasets.urfd_labels import FALLING, NOT_LYING, read_labels
from stan_train.manifest import BACKGROUND, UNKNOWN, Clip, intervals_of

DATASET = "urfd"
READ_TOO = ("urfall-cam0-falls.csv", "urfall-cam0-adls.csv")
TABLE = READ_TOO[0]
NAME = re.compile(r"((fall|adl)-\d+)-cam(\d)")
PICTURE_PX = (640, 240)
COLOR = Crop(320, 0, 320, 240)


def looks_like(folder: Path) -> bool:
    """Whether the table of frame labels lies in it, or videos named as URFD's are."""
    return bool(_tables(folder)) or any(NAME.fullmatch(path.stem) for path in videos(folder))


def _tables(folder: Path) -> list[Path]:
    return [path for path in walk(folder) if path.name == TABLE]


def read(folder: Path) -> Iterator[Clip | Refusal]:
    """Clips and refusals."""
    labels: dict[str, Mapping[int, int]] = {}
    tables = _tables(folder)
    for table in tables:
        for entry in read_labels(table):
            if isinstance(entry, Refusal):
                yield entry
            else:
                labels[entry.clip] = entry.labels
    found = set()
    for path in videos(folder):
        match = NAME.fullmatch(path.stem)
        if match is None:
            yield Refusal(path, "is not named like fall-01-cam0.mp4; rename it or scan it as another format")
            continue
        name, kind, camera = match.groups()
        found.add(name)
        if camera != "0":
            yield Refusal(path, f"camera {camera} runs on its own clock, and the labels are those of camera 0")
        elif kind == "adl":
            yield _read_clip(path, name, None)
        elif name in labels:
            yield _read_clip(path, name, labels[name])
        else:
            yield Refusal(path, f"no usable row of {TABLE} is about {name}, so nobody says when the fall happens")
    if tables and (refusal := not_here(tables[0], sorted(labels.keys() - found))) is not None:
        yield refusal


def _read_clip(path: Path, name: str, labels: Mapping[int, int] | None) -> Clip | Refusal:
    """A clip of a fall, or without labels of something else."""
    found = open_video(path)
    if isinstance(found, Refusal):
        return found
    if (found.width_px, found.height_px) != PICTURE_PX:
        return Refusal(
            path, f"is {found.width_px}x{found.height_px}, not 640x240 with depth on the left and colour on the right"
        )
    if labels is None:
        facts = Facts(DATASET, BACKGROUND, UNKNOWN, name, "cam0", COLOR)
        return clip_of(path, found, facts, important=())
    if max(labels) > found.frames:
        return Refusal(path, f"{TABLE} labels frame {max(labels)}, outside the clip's {found.frames} frames")
    marks = [labels.get(number) for number in range(1, found.frames + 1)]
    facts = Facts(DATASET, "falling", UNKNOWN, name, "cam0", COLOR)
    important = intervals_of([mark == FALLING for mark in marks])
    ignored = intervals_of([mark not in (FALLING, NOT_LYING) for mark in marks])
    return clip_of(path, found, facts, important=important, ignored=ignored)
