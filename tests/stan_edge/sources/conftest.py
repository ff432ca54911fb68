"""Pictures and videos that tell frames, sides and channels apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from stan_edge.sources import Frame, Source
from stan_edge.types import Image


def picture(value: int, width: int = 160, height: int = 120) -> Image:
    """Left half grey of `value`, right half red: tells frames, sides and channels apart."""
    image = np.full((height, width, 3), value, np.uint8)
    image[:, width // 2 :] = (255, 0, 0)
    return image


def write_video(path: Path, count: int, fps: float = 25.0, codec: str = "mp4v") -> Path:
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (160, 120))
    assert writer.isOpened()
    for k in range(count):
        image = picture(4 * k % 200)
        image[:40, :40] = rng.integers(0, 255, (40, 40, 1))  # so that the file has some size to cut
        writer.write(image[..., ::-1])
    writer.release()
    return path


def frames_of(source: Source) -> list[Frame]:
    frames = list(iter_frames(source))
    source.close()
    return frames


def iter_frames(source: Source) -> Iterator[Frame]:
    while (frame := source.read()) is not None:
        yield frame
