"""STAA's way of showing attention (arXiv 2411.00630): what is faint goes, what is left stands out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA = 0.5
"""Where between the 70th and the 90th percentile the threshold lies; the paper's code draws it at random."""


def focused(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dynamic thresholding and focusing of a map `[T, h, w]`: blurred over neighbours, zero below P70 + gamma (P90 -
    P70), the rest from 0 to 1 and scaled so that it sums to what the map did."""
    blurred = attention.astype(np.float64)
    for axis in range(3):
        padded = np.pad(blurred, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        size = blurred.shape[axis]
        parts = [padded.take(range(k, k + size), axis) for k in range(3)]
        blurred = (parts[0] + 2 * parts[1] + parts[2]) / 4
    low, high = np.percentile(blurred, (70, 90))
    kept = np.maximum(blurred - (low + GAMMA * (high - low)), 0.0)
    total = kept.sum()
    return (kept * (attention.sum(dtype=np.float64) / total) if total > 0 else kept).astype(np.float32)
