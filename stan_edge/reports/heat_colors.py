"""Heat over a frame: its colours, and how strongly they cover the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.types import Image, Square

HEAT_COLORS = cv2.COLORMAP_INFERNO
"""Brightness rises all the way from no heat to the most, so that it can be read without telling colours apart."""
HEAT_OPACITY = 0.7
"""At the hottest place; what is left is the picture below."""


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
