"""Skeleton files of NTU RGB+D: where the person's joints are in the colour picture, frame by frame.

A text file: the number of frames; for each frame the number of bodies; for each body a line that begins with its id,
a line with the number of joints, and a line for each joint, whose columns 6 and 7 (from 1) are `colorX` and `colorY`
in pixels of the 1920x1080 recording. Source: the reader that is published with the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError

COLOR_X, COLOR_Y = 5, 6
MOST_BODIES = 6
"""The camera follows no more; a larger count is a damaged file."""

Joints = NDArray[np.float64]


def read_skeleton(path: Path, frames: int) -> NDArray[np.float32]:
    """The box around the joints of whoever moves most in the clip.

    Args:
        frames: frames of the video, L; the skeleton may hold a few more or fewer.

    Returns:
        float32 [L, 4]: x0, y0, x1, y1 in pixels, NaN where that person is not seen.

    Raises:
        ConfigError: it cannot be read, or is cut off or damaged.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")
        bodies = _bodies(iter(lines), frames)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); copy it again.") from error
    except (ValueError, IndexError, StopIteration) as error:
        raise ConfigError(f"{path} is no skeleton file, or is cut off or damaged; copy it again.") from error
    boxes = np.full((frames, 4), np.nan, np.float32)
    if bodies:
        for frame, joints in max(bodies.values(), key=_motion_px).items():
            boxes[frame] = (*joints.min(axis=0), *joints.max(axis=0))
    return boxes


def _bodies(lines: Iterator[str], frames: int) -> dict[str, dict[int, Joints]]:
    """Joints [J, 2] in pixels by body id and frame; joints without a place in the picture are left out."""
    bodies: dict[str, dict[int, Joints]] = {}
    for frame in range(int(next(lines))):
        for _ in range(_count(next(lines), MOST_BODIES)):
            body = next(lines).split()[0]
            rows = [next(lines).split() for _ in range(_count(next(lines), 100))]
            joints = np.array([(float(row[COLOR_X]), float(row[COLOR_Y])) for row in rows]).reshape(-1, 2)
            joints = joints[np.isfinite(joints).all(axis=1)]
            if frame < frames and len(joints):
                bodies.setdefault(body, {})[frame] = joints
    return bodies


def _count(line: str, most: int) -> int:
    count = int(line)
    if not 0 <= count <= most:
        raise ValueError(f"{count} is no count")
    return count


def _motion_px(body: dict[int, Joints]) -> float:
    """How far the middle and the extent of a body travel over the clip, in pixels."""
    boxes = np.array([(*joints.min(axis=0), *joints.max(axis=0)) for joints in body.values()])
    return float(np.abs(np.diff(boxes, axis=0)).sum())
