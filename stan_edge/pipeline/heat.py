"""From the raw space-time map of a window to heat that a person can look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.types import Square


def focus(cells: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """What stands out of the raw map of each frame, `[..., h, w]`, as heat from 0 to 1, for the eye.

    STAA's dynamic threshold (arXiv 2411.00630): half way from the 70th to the 90th percentile of the frame's cells,
    nothing below, the rest on the whole scale. Its blur is left out: of 3 x 3 cells it changes little, for the
    worse with the default method (bench/results/heat.md). Frame scores are taken before: focused they are worse.
    """
    low, high = np.percentile(cells.astype(np.float64), (70, 90), axis=(-2, -1), keepdims=True)
    above = (cells - (low + high) / 2).clip(0)
    most = above.max((-2, -1), keepdims=True)
    return (above / np.where(most > 0, most, 1)).astype(np.float32)


def heated(square: Square, cells: int, cell_px: int, size_px: int) -> Square:
    """The part of a square of the source frame that a map of `cells` a side covers: it may end before the network's
    picture of `size_px` does, where that is no multiple of the cell."""
    return replace(square, side_px=round(square.side_px * cells * cell_px / size_px))
