"""Augmentation of one window that keeps its label and its time: what is chosen is the same for all its frames.

Besides colour and geometry it imitates what goes wrong at run time: a person who walks out of the picture, a region
that is lost, held too long, or found on a chair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.views import apply_view, cut_square, passes, place_square
from stan_edge.types import Square
from stan_train.framing import RawWindow, mask_in_view

MARGIN = 1.15
"""A window is cut this much larger than the network's input first, so that turning it shows no black corners."""
NO_MASK = -1
LEAST_BODY_IN_VIEW = 0.8
"""Share of the person's boxes that a narrower picture must keep where the activity shows."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Shares of windows that are changed; colour, scale and rotation change in all of them."""

    narrower: float = 0.3
    """Seen by a camera with a narrower view; twice as often where nothing happens: people walk in and out there."""
    region_lost: float = 0.3
    replaced_background: float = 0.3
    """Put in front of another room; needs a mask."""
    blur: float = 0.15
    noise: float = 0.3
    gray: float = 0.1
    speed: float = 1.25
    """Largest factor by which time is stretched or compressed."""
    flip: tuple[str, ...] = ()
    """Classes whose windows may be mirrored: those in which left and right mean nothing."""


def augment_window(
    window: RawWindow,
    spec: InputSpec,
    config: AugmentConfig,
    rng: np.random.Generator,
    *,
    important: NDArray[np.bool_],
    flip: bool,
    room: Callable[[], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """A window as another camera, in another light, might have shown it.

    Args:
        important: `[T]`, frames in which the activity shows; none for background.
        flip: whether it may be mirrored.
        room: gives a picture `[h, w, 3]` of some other room.

    Returns:
        `[P, T, size, size, 3]`: the passes of the view.
    """
    if window.masks is not None and rng.random() < config.replaced_background:
        window = _elsewhere(window, room())
    if rng.random() < config.narrower * (1 if important.any() else 2):
        window = _narrower(window, important, rng)
    if flip and rng.random() < 0.5:
        window = _mirrored(window)
    window = _as_tracked(window, config, rng)
    height, width = window.pictures.shape[1:3]
    known = [None if np.isnan(box).any() else tuple(box.tolist()) for box in window.boxes]
    square = place_square(spec.framing, width, height, known)
    stored = round(MARGIN * spec.size_px)
    matrix = _affine(stored, spec.size_px, rng)
    in_view = _transform(_to_view(window.boxes, square, stored), matrix)
    paint = _painter(spec.size_px, config, rng)
    views = passes(spec.view)
    out = np.empty((len(views), len(window.pictures), spec.size_px, spec.size_px, 3), np.uint8)
    for t, picture in enumerate(window.pictures):
        cut = cut_square(picture, square, stored)
        turned = paint(cv2.warpAffine(cut, matrix, (spec.size_px, spec.size_px), flags=cv2.INTER_LINEAR))
        mask = mask_in_view(window, t, square, stored, matrix, spec)
        box = None if np.isnan(in_view[t]).any() else tuple(in_view[t].tolist())
        for p, view in enumerate(views):
            out[p, t] = apply_view(turned, box, view, mask)
    return out


def _elsewhere(window: RawWindow, room: NDArray[np.uint8]) -> RawWindow:
    """The person cut out and put in front of another room, which stands still."""
    masks = window.masks
    if masks is None or not masks.any(axis=(1, 2)).all():
        return window
    height, width = window.pictures.shape[1:3]
    backdrop = cv2.resize(room, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    pictures = np.empty_like(window.pictures)
    for t, (picture, mask) in enumerate(zip(window.pictures, masks, strict=True)):
        # masks of a pose model are a little tight and jagged: grow, then feather
        share = cv2.dilate(mask.astype(np.float32), np.ones((3, 3), np.uint8))
        share = cv2.GaussianBlur(share, (5, 5), 0)[..., None]
        pictures[t] = (share * picture + (1 - share) * backdrop).astype(np.uint8)
    return replace(window, pictures=pictures)


def _narrower(window: RawWindow, important: NDArray[np.bool_], rng: np.random.Generator) -> RawWindow:
    """Part of the picture, as if the camera saw no more. People may walk in and out of it or be cut off, but where
    an activity shows most of the body stays in view."""
    height, width = window.pictures.shape[1:3]
    for _ in range(8):
        share = rng.uniform(0.45, 0.95)
        w, h = round(share * width), round(min(1.0, share * rng.uniform(0.85, 1.2)) * height)
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        area = np.prod(np.maximum(window.boxes[:, 2:] - window.boxes[:, :2], 0), axis=1)
        clipped = np.clip(window.boxes - [x, y, x, y], 0, [w, h, w, h]).astype(np.float32)
        left = np.prod(np.maximum(clipped[:, 2:] - clipped[:, :2], 0), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            seen = np.nan_to_num(left / area, nan=0.0)
        if important.any() and seen[important].min() < LEAST_BODY_IN_VIEW:
            continue
        boxes = np.where((seen > 0.15)[:, None], clipped, np.float32(np.nan))
        masks = None if window.masks is None else window.masks[:, y : y + h, x : x + w]
        return RawWindow(window.pictures[:, y : y + h, x : x + w], boxes, masks)
    return window


def _mirrored(window: RawWindow) -> RawWindow:
    width = window.pictures.shape[2]
    boxes = window.boxes.copy()
    boxes[:, [0, 2]] = width - window.boxes[:, [2, 0]]
    masks = None if window.masks is None else window.masks[:, :, ::-1]
    return RawWindow(np.ascontiguousarray(window.pictures[:, :, ::-1]), boxes, masks)


def _as_tracked(window: RawWindow, config: AugmentConfig, rng: np.random.Generator) -> RawWindow:
    """Boxes and masks as a tracker that errs might give them: it holds both, and knows no mask of a wrong box."""
    height, width = window.pictures.shape[1:3]
    boxes = window.boxes.copy()
    frames = len(boxes)
    mask_of = np.arange(frames)  # the frame whose mask each frame has; NO_MASK: none
    side = np.nanmax(boxes[:, 2:] - boxes[:, :2]) if not np.isnan(boxes).all() else 0.0
    boxes += rng.normal(0, 0.03 * side, 4) + rng.normal(0, 0.01 * side, boxes.shape)
    known = ~np.isnan(boxes[:, 0])
    if known.any() and not known[-1] and rng.random() < 0.7:  # who has left is held for a while
        last = int(np.flatnonzero(known)[-1])
        boxes[last + 1 :], mask_of[last + 1 :] = boxes[last], last
    if not known[0] and rng.random() < config.region_lost:  # furniture passes for a person as long as nobody is there
        until = int(np.flatnonzero(known)[0]) if known.any() else int(rng.integers(1, frames + 1))
        boxes[:until], mask_of[:until] = _random_box(width, height, rng), NO_MASK
    if rng.random() < config.region_lost:
        cut = int(rng.integers(1, frames))
        match rng.integers(5):
            case 0:
                boxes[:], mask_of[:] = np.nan, NO_MASK
            case 1:
                boxes[cut:], mask_of[cut:] = boxes[cut], mask_of[cut]
            case 2:
                boxes[cut:], mask_of[cut:] = np.nan, NO_MASK
            case 3:
                boxes[:cut], mask_of[:cut] = np.nan, NO_MASK
            case _:
                boxes[:cut], mask_of[:cut] = _random_box(width, height, rng), NO_MASK
    masks = None if window.masks is None else window.masks[mask_of] & (mask_of != NO_MASK)[:, None, None]
    return RawWindow(window.pictures, boxes.astype(np.float32), masks)


def _random_box(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    w, h = rng.uniform(0.12, 0.5) * width, rng.uniform(0.15, 0.7) * height
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return np.array([x, y, x + w, y + h], np.float32)


def _to_view(boxes: NDArray[np.float32], square: Square, size: int) -> NDArray[np.float64]:
    origin = np.array([square.x_px, square.y_px] * 2)
    return (boxes - origin) * (size / square.side_px)


def _affine(stored: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    angle_deg = rng.normal(0, 3)
    scale = size / stored * rng.uniform(0.85, 1.2)
    matrix = cv2.getRotationMatrix2D((stored / 2, stored / 2), angle_deg, scale)
    matrix[:, 2] += size / 2 - stored / 2 + rng.uniform(-0.06, 0.06, 2) * size
    return matrix


def _transform(boxes: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axis-aligned boxes around the transformed corners."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # [T, 4, 2]
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([moved.min(1), moved.max(1)], axis=1)


def _painter(
    size: int, config: AugmentConfig, rng: np.random.Generator
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Colour, blur and noise of one camera, for each of its pictures."""
    table = _color_table(rng)
    gray, blur, noisy = (rng.random() < share for share in (config.gray, config.blur, config.noise))
    grain = rng.normal(0, rng.uniform(2, 8), (size, size)).astype(np.int16)

    def paint(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if blur:
            picture = cv2.GaussianBlur(picture, (3, 3), 0)
        picture = cv2.LUT(picture, table)
        if gray:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if noisy:
            moved = np.roll(grain, tuple(rng.integers(0, size, 2)), (0, 1))[..., None]
            picture = np.clip(picture.astype(np.int16) + moved, 0, 255).astype(np.uint8)
        return picture

    return paint


def _color_table(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gamma, contrast, brightness and a cast, as one look-up table `[1, 256, 3]`."""
    levels = np.linspace(0, 1, 256)[:, None]
    curve = levels ** np.exp(rng.normal(0, 0.25))
    curve = (curve - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    curve = curve * np.exp(rng.normal(0, 0.06, 3))
    return np.clip(curve * 255, 0, 255).astype(np.uint8)[None]
