"""What all pictures for people have in common: colours, text, heat, bars, and how they become a file."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.types import Image, Square

RED, GREEN, CYAN, GRAY, WHITE, DARK = (
    (235, 64, 52),
    (74, 200, 110),
    (80, 190, 220),
    (150, 150, 150),
    (240, 240, 240),
    (24, 26, 30),
)
"""RGB, as everything here."""


def put_text(image: Image, text: str, xy: tuple[int, int], color: tuple[int, int, int], scale: float = 0.5) -> None:
    """Draw text in place, baseline at xy, readable on any background."""
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, DARK, 3, cv2.LINE_AA)
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def scale_to(image: Image, width_px: int) -> Image:
    """Resize to this width, keeping the shape."""
    height, width = image.shape[:2]
    size = (width_px, round(height * width_px / width))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if width > width_px else cv2.INTER_LINEAR)


def png(image: Image) -> bytes:
    """An RGB picture as a file, exact."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def jpeg(image: Image, quality: int) -> bytes:
    """An RGB picture as a small file; quality up to 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def add_heat(image: Image, scale: float, heat: NDArray[np.float32], square: Square, strength: float) -> Image:
    """Blend coarse heat `[h, w]` from 0 to 1 over an image, where the square of the source frame lies.

    Args:
        scale: image pixels per source pixel.
        strength: 0 to 1; heat of 1 gets this much of the colour.
    """
    height, width = image.shape[:2]
    if not heat.any() or strength <= 0:
        return image
    side = max(round(square.side_px * scale), 1)
    x, y = round(square.x_px * scale), round(square.y_px * scale)
    alpha_square = cv2.resize(heat, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    alpha = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    alpha[y0:y1, x0:x1] = alpha_square[y0 - y : y1 - y, x0 - x : x1 - x]
    color = cv2.cvtColor(cv2.applyColorMap((alpha * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    weight = (0.7 * strength * alpha)[..., None]
    return (image * (1 - weight) + color * weight).astype(np.uint8)


def draw_bars(
    image: Image,
    bars: Iterable[tuple[float, float, float | None]],
    area: tuple[int, int, int, int],
    span_s: tuple[float, float],
    bar_s: float,
) -> None:
    """Importance bars in place, red where they reach their threshold, with a line at the threshold.

    Args:
        bars: (time in seconds, importance in [0, 1], threshold of the label shown; None: no label, no line).
        area: x0, y0, x1, y1 in pixels.
        span_s: times at the left and right end.
        bar_s: time that one bar covers.
    """
    x0, y0, x1, y1 = area
    per_s = (x1 - x0) / (span_s[1] - span_s[0])
    for t_s, value, threshold in bars:
        left = round(x0 + (t_s - span_s[0]) * per_s)
        right = max(round(x0 + (t_s + bar_s - span_s[0]) * per_s) - 1, left)
        top = round(y1 - value * (y1 - y0))
        if right >= x0 and left <= x1:
            color = RED if threshold is not None and value >= threshold else CYAN
            cv2.rectangle(image, (max(left, x0), top), (min(right, x1), y1), color, cv2.FILLED)
            if threshold is not None:
                line_y = round(y1 - threshold * (y1 - y0))
                cv2.line(image, (max(left, x0), line_y), (min(right + 1, x1), line_y), GRAY, 1)
