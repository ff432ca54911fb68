"""What all pictures have in common: colours, text and heat on a frame, size, and how a picture becomes a file."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.types import Image, Square

RED, GREEN, CYAN, ORANGE = (213, 94, 0), (0, 158, 115), (86, 180, 233), (230, 159, 0)
"""RGB; of Okabe and Ito's palette, which colour-blind people can tell apart."""
GRAY, WHITE, DARK = (150, 150, 150), (240, 240, 240), (24, 26, 30)
HEAT_COLORS = cv2.COLORMAP_INFERNO
"""Brightness rises all the way from no heat to the most, so that it can be read without telling colours apart."""
HEAT_OPACITY = 0.7
"""At the hottest place; what is left is the picture below."""


def put_text(image: Image, text: str, xy: tuple[int, int], color: tuple[int, int, int], scale: float = 0.5) -> None:
    """Draw text in place, baseline at xy, readable on any background."""
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, DARK, 3, cv2.LINE_AA)
    cv2.putText(image, text, xy, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def scale_to(image: Image, width_px: int) -> Image:
    """Resize to this width, keeping the shape."""
    height, width = image.shape[:2]
    size = (width_px, max(round(height * width_px / width), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if width > width_px else cv2.INTER_LINEAR)


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
    color = cv2.cvtColor(cv2.applyColorMap((alpha * 255).astype(np.uint8), HEAT_COLORS), cv2.COLOR_BGR2RGB)
    weight = (HEAT_OPACITY * strength * alpha)[..., None]
    return (image * (1 - weight) + color * weight).astype(np.uint8)


def png(image: Image) -> bytes:
    """An RGB picture as a file, exact."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def jpeg(image: Image, quality: int) -> bytes:
    """An RGB picture as a small file; quality up to 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
