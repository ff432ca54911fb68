"""A plain tree: `class/clip.mp4` or `class/subject/clip.mp4`; the folder `background` holds what should not alarm.

Labels are weak: nobody has marked the frames. A subject's clips form a group; without one each clip is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stan_train.datasets.files import Facts, Refusal, clip_of, label_problem, open_video, videos, weak
from stan_train.manifest import UNKNOWN, Clip

DATASET = "folders"
READ_TOO = ()


def looks_like(folder: Path) -> bool:
    """Whether a video lies one or two folders deep."""
    return any(len(path.relative_to(folder).parts) in (2, 3) for path in videos(folder))


def read(folder: Path) -> Iterator[Clip | Refusal]:
    """Clips and refusals."""
    for path in videos(folder):
        parts = path.relative_to(folder).parts
        if len(parts) not in (2, 3):
            yield Refusal(path, "does not lie at class/clip or class/subject/clip; move it")
            continue
        label = parts[0]
        if (problem := label_problem(label)) is not None:
            yield Refusal(path, problem)
            continue
        found = open_video(path)
        if isinstance(found, Refusal):
            yield found
            continue
        subject = parts[1] if len(parts) == 3 else UNKNOWN
        group = subject if len(parts) == 3 else "/".join(parts)
        yield clip_of(path, found, Facts(DATASET, label, subject, group), important=weak(label))
