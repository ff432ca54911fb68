"""A clip decoded at a moderate size and rate, with the person's region in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import SourceDecodeError
from stan_edge.person.tracking import NOBODY
from stan_edge.sources import open_source
from stan_train.manifest import Clip
from stan_train.regions import person_tracker

LONG_SIDE_PX = 320
"""The network sees 112 or 224 pixels of a square around the person."""
RATE_HZ = 15.0
"""Finer than a window's 10 Hz, so that speed can be varied; a faster video loses frames, a slower one keeps all."""


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    index: int
    t_s: float
    picture: NDArray[np.uint8]
    box: NDArray[np.float64]
    mask: NDArray[np.uint8] | None


def decoded(clip: Clip) -> Iterator[DecodedFrame]:
    import cv2

    source = open_source(str(clip.path), crop=clip.crop)
    try:
        due_s = -np.inf
        first: tuple[int, int] | None = None
        with person_tracker(clip, masks=True) as tracker:
            while (frame := source.read()) is not None:
                height, width = frame.image.shape[:2]
                first = first or (width, height)
                if (width, height) != first:
                    raise SourceDecodeError(
                        f"{clip.path}: the picture changes from {first[0]}x{first[1]} to {width}x{height} at frame "
                        f"{frame.index}; cut the clip there or export it at one size."
                    )
                region = NOBODY if tracker is None else tracker.update(frame)
                if frame.t_capture_s < due_s - 0.25 / RATE_HZ:
                    continue
                due_s = max(due_s, frame.t_capture_s - 1 / RATE_HZ) + 1 / RATE_HZ
                scale = min(1.0, LONG_SIDE_PX / max(width, height))
                size = (round(width * scale), round(height * scale))
                picture = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
                box = np.full(4, np.nan) if region.box_px is None else scale * np.array(region.box_px)
                mask = None if region.mask is None else _packed(region.mask, size)
                yield DecodedFrame(frame.index, frame.t_capture_s, picture, box, mask)
    finally:
        source.close()


def _packed(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    share = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    return np.packbits(share > 127, axis=1)
