"""Augmentation of one window that keeps its label and its time: geometry and colour are the same for all frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.contract import InputSpec
from stan_edge.views import apply_view

HIDE_BOX = 0.1
"""Share of windows whose person box is hidden: at run time the pose model misses people, too."""


def augment_window(
    frames: NDArray[np.uint8], boxes: NDArray[np.float32], spec: InputSpec, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A random crop, scale, rotation, colour, blur and noise, then the view with a jittered person box.

    No flip: left and right matter for chest pain and compensation.

    Args:
        frames: `[T, S, S, 3]`.
        boxes: `[T, 4]` in pixels of S; NaN where nobody is known.

    Returns:
        `[T, size, size, 3]`.
    """
    stored, size_px = frames.shape[1], spec.size_px
    matrix = _affine(stored, size_px, rng)
    table = _color_table(rng)
    gray = rng.random() < 0.1
    blur = rng.random() < 0.15
    side = max(stored, size_px)
    noise = (rng.normal(0, rng.uniform(2, 8), (side, side)).astype(np.int16), rng.random() < 0.3)
    seen = _jitter(_transform(boxes, matrix), size_px, rng)
    pictures = []
    for frame, box in zip(frames, seen, strict=True):
        picture = cv2.warpAffine(frame, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
        if blur:
            picture = cv2.GaussianBlur(picture, (3, 3), 0)
        picture = cv2.LUT(picture, table)
        if gray:
            picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if noise[1]:
            shift = tuple(rng.integers(0, side, 2))
            grain = np.roll(noise[0], shift, (0, 1))[:size_px, :size_px, None]
            picture = np.clip(picture.astype(np.int16) + grain, 0, 255).astype(np.uint8)
        known = None if np.isnan(box).any() else tuple(box.tolist())
        pictures.append(apply_view(picture, known, spec.view))
    return np.stack(pictures)


def plain_window(frames: NDArray[np.uint8], boxes: NDArray[np.float32], spec: InputSpec) -> NDArray[np.uint8]:
    """The window as the runtime would show it to the network: resized, view applied, nothing random."""
    size_px = spec.size_px
    scale = size_px / frames.shape[1]
    return np.stack(
        [
            apply_view(
                cv2.resize(frame, (size_px, size_px), interpolation=cv2.INTER_AREA),
                None if np.isnan(box).any() else tuple((box * scale).tolist()),
                spec.view,
            )
            for frame, box in zip(frames, boxes, strict=True)
        ]
    )


def _affine(stored: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    angle_deg = rng.normal(0, 3)
    scale = size / stored * rng.uniform(0.85, 1.2)
    matrix = cv2.getRotationMatrix2D((stored / 2, stored / 2), angle_deg, scale)
    matrix[:, 2] += size / 2 - stored / 2 + rng.uniform(-0.06, 0.06, 2) * size
    return matrix


def _transform(boxes: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Axis-aligned boxes around the transformed corners."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # [T, 4, 2]
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([moved.min(1), moved.max(1)], axis=1)


def _jitter(boxes: NDArray[np.float64], size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    if rng.random() < HIDE_BOX:
        return np.full_like(boxes, np.nan)
    offsets = rng.normal(0, 0.03 * size, 4) + rng.normal(0, 0.01 * size, boxes.shape)
    boxes = boxes + offsets
    if rng.random() < HIDE_BOX:  # the tracker loses the person and holds the last box
        lost = rng.integers(1, len(boxes))
        boxes[lost:] = boxes[lost]
    return boxes


def _color_table(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gamma, contrast, brightness and a cast, as one look-up table `[1, 256, 3]`."""
    levels = np.linspace(0, 1, 256)[:, None]
    curve = levels ** np.exp(rng.normal(0, 0.25))
    curve = (curve - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    curve = curve * np.exp(rng.normal(0, 0.06, 3))
    return np.clip(curve * 255, 0, 255).astype(np.uint8)[None]
