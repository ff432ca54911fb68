"""A window of a clip as the runtime would show it to the network: nothing random."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.views import apply_view, cut_square, passes, place_square
from stan_edge.types import Square
from stan_train.cache import CachedClip


@dataclass(frozen=True, eq=False)
class RawWindow:
    """A window of T frames before it is framed: pictures `[T, h, w, 3]`, boxes `[T, 4]` in their pixels (NaN: nobody
    known), masks `[T, h, w]` of the body or None."""

    pictures: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: NDArray[np.bool_] | None


def plain_window(window: RawWindow, spec: InputSpec) -> NDArray[np.uint8]:
    """The window as the runtime would show it to the network `[P, T, size, size, 3]`: nothing random."""
    height, width = window.pictures.shape[1:3]
    known = [None if np.isnan(box).any() else tuple(box.tolist()) for box in window.boxes]
    square = place_square(spec.framing, width, height, known)
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    views = passes(spec.view)
    out = np.empty((len(views), len(window.pictures), spec.size_px, spec.size_px, 3), np.uint8)
    for t, (picture, box) in enumerate(zip(window.pictures, known, strict=True)):
        cut = cut_square(picture, square, spec.size_px)
        mask = mask_in_view(window, t, square, spec.size_px, identity, spec)
        for p, view in enumerate(views):
            out[p, t] = apply_view(cut, None if box is None else square.to_view(box, spec.size_px), view, mask)
    return out


def mask_in_view(
    window: RawWindow, t: int, square: Square, stored: int, matrix: NDArray[np.float64], spec: InputSpec
) -> NDArray[np.bool_] | None:
    if spec.region != "mask" or window.masks is None or not window.masks[t].any():
        return None
    gray = np.repeat(window.masks[t].astype(np.uint8)[..., None] * 255, 3, axis=2)
    turned = cv2.warpAffine(cut_square(gray, square, stored), matrix, (spec.size_px, spec.size_px))
    return np.asarray(turned[..., 0] > 127)


def raw_window(cached: CachedClip, index: NDArray[np.int64], *, masks: bool) -> RawWindow:
    """Kept frames of a clip, read from disk."""
    pictures = cached.frames[index]
    bodies = [cached.mask(int(k)) for k in index] if masks and cached.masks is not None else []
    empty = np.zeros(pictures.shape[1:3], bool)
    return RawWindow(
        pictures, cached.boxes[index], np.stack([empty if m is None else m for m in bodies]) if bodies else None
    )
