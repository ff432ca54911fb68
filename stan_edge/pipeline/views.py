"""From frames and person regions to the network's square pictures: framing, then global, local or blended view.

Training and the runtime call the same functions, so what is measured is what is deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from stan_edge.model.contract import View
from stan_edge.types import Box, Image, Mask, Square

PlainView = Literal["global", "local", "blend"]
"""A view that is one picture."""

FOLLOW_CONTEXT = 1.15
"""Side of the following square over the longest side of the person's path through the window."""
FOLLOW_MIN = 0.3
"""Smallest following square over the longest side of the frame: a far person is not blown up to pixels."""


def place_square(
    framing: Literal["letterbox", "follow"], width_px: int, height_px: int, boxes: Sequence[Box | None]
) -> Square:
    """The square that frames a window, one for all its frames: a square that moved with the person
    would hide the motion that makes a fall a fall.

    `follow` takes the union of the person's boxes over the window with some context, moved into the frame
    where it fits; without any box, and for `letterbox`, it is the smallest square around the whole frame.
    """
    known = [box for box in boxes if box is not None]
    whole = max(width_px, height_px)
    side = whole
    center_x, center_y = width_px / 2, height_px / 2
    if framing == "follow" and known:
        x0, y0 = (min(box[i] for box in known) for i in (0, 1))
        x1, y1 = (max(box[i] for box in known) for i in (2, 3))
        side = 2 * round(max(FOLLOW_CONTEXT * max(x1 - x0, y1 - y0), FOLLOW_MIN * whole) / 2)  # `cut_square` halves it
        side = min(whole, side)
        center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2
    return Square(_inside(center_x, side, width_px), _inside(center_y, side, height_px), side)


def _inside(center: float, side: int, extent: int) -> int:
    """Start of an interval around `center` that stays within the extent, or is centred on it when longer."""
    if side >= extent:
        return (extent - side) // 2
    return min(max(round(center - side / 2), 0), extent - side)


def cut_square(image: Image, square: Square, size_px: int) -> Image:
    """Cut a square out of a frame and resize it; `[H, W, ...]` -> `[size, size, ...]`, black outside the frame."""
    import cv2

    height, width = image.shape[:2]
    x0, x1 = max(square.x_px, 0), min(square.x_px + square.side_px, width)
    y0, y1 = max(square.y_px, 0), min(square.y_px + square.side_px, height)
    scale = size_px / square.side_px
    left, right = round((x0 - square.x_px) * scale), round((x1 - square.x_px) * scale)
    top, bottom = round((y0 - square.y_px) * scale), round((y1 - square.y_px) * scale)
    right, bottom = max(right, left + 1), max(bottom, top + 1)  # a sliver still fills a pixel
    view = np.zeros((size_px, size_px, *image.shape[2:]), np.uint8)
    part = image[y0:y1, x0:x1]
    # OpenCV averages two by two at 0.1 ms for 720x720 pixels, by other factors at 1.9 ms
    while _halves(part.shape[0], bottom - top) and _halves(part.shape[1], right - left):
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
    # INTER_AREA averages when shrinking and is bilinear when enlarging: no aliasing for far or near people
    view[top:bottom, left:right] = cv2.resize(part, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return view


def _halves(extent_px: int, shown_px: int) -> bool:
    """Whether pixels may be averaged two by two on the way: those of the view still average over more than one then."""
    return extent_px % 2 == 0 and extent_px >= 3 * shown_px


def cut_mask(mask: Mask, square: Square, size_px: int) -> Mask:
    """The same square of a mask, `[H, W]` -> `[size, size]`: pixels more than half of which are the person."""
    return cut_square(mask.astype(np.uint8) * np.uint8(255), square, size_px) > 127


def passes(view: View) -> tuple[PlainView, ...]:
    """What the network sees of a window, one run each: the parts of `union` and `late`, which differ in training
    only, or the view itself. Logits, frame scores and maps of the runs are averaged.
    """
    both: tuple[PlainView, ...] = ("global", "local")
    return both if view == "union" or view == "late" else (view,)  # noqa: PLR1714 - mypy narrows no `in`


def apply_view(picture: Image, box: Box | None, view: PlainView, mask: Mask | None = None) -> Image:
    """Global keeps the picture; local sets pixels outside the person's region to 0; blend is the mean of both.

    Args:
        picture: `[S, S, 3]`.
        box: in view pixels; None (nobody known) means the full picture is the person's region.
        mask: `[S, S]`, the region where it is known, instead of the box.
    """
    if view == "global" or (box is None and mask is None):
        return picture
    outside: Image = np.zeros_like(picture) if view == "local" else picture // np.uint8(2)
    if mask is not None:
        outside[mask] = picture[mask]
    elif box is not None:
        size = picture.shape[0]
        x0, y0 = (int(np.clip(np.floor(value), 0, size)) for value in box[:2])
        x1, y1 = (int(np.clip(np.ceil(value), 0, size)) for value in box[2:])
        outside[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
    return outside
