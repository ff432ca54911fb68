"""Arrays and shapes that every part of the program speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""A picture, uint8 [H, W, 3], RGB."""
Mask: TypeAlias = npt.NDArray[np.bool_]
"""Pixels of a picture that belong to something, [H, W]."""
Box: TypeAlias = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels."""
PixelBox: TypeAlias = tuple[int, int, int, int]
"""A box of whole pixels; x1 and y1 are just outside."""
RawBox: TypeAlias = npt.NDArray[np.float64]
"""Tight box around a detection, float [4], (x0, y0, x1, y1) in frame pixels; may reach outside the frame."""


@dataclass(frozen=True)
class Square:
    """A square of the source frame that fills the network's input; parts outside the frame are black."""

    x_px: int
    y_px: int
    side_px: int

    def to_view(self, box: Box, size_px: int) -> Box:
        """A box in frame pixels as a box in view pixels."""
        scale = size_px / self.side_px
        x0, y0, x1, y1 = box
        return (
            (x0 - self.x_px) * scale,
            (y0 - self.y_px) * scale,
            (x1 - self.x_px) * scale,
            (y1 - self.y_px) * scale,
        )
