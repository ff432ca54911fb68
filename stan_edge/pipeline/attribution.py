"""Raw frame scores -> importance in [0, 1] that means the same in every window; raw maps -> where to look."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import MethodSpec


def dealias(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Filter `[..., T]` with [1, 2, 1] / 4, ends reflected.

    The stem's kernel 3 / stride 2 feeds odd frames into two tokens and even frames into one: their gradients
    differ by 1.4 to 2 times whatever the video shows. Neighbours share that pattern, so it cancels.
    """
    padded = np.concatenate([scores[..., 1:2], scores, scores[..., -2:-1]], axis=-1).astype(np.float64)
    return (padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]) / 4


def correct(raw: NDArray[np.floating[Any]], spec: MethodSpec) -> NDArray[np.float64]:
    """De-aliased scores `[..., T]` over the profile that the network gives to a clip where nothing moves."""
    scores = dealias(raw) if spec.dealias else raw.astype(np.float64)
    return scores / np.array(spec.profile)


def importance(raw: NDArray[np.floating[Any]], spec: MethodSpec) -> NDArray[np.float64]:
    """Importance `[..., T]`: corrected scores on the calibrated scale, clipped to [0, 1].

    The scale comes from training data and not from the window itself: min-max per window would flag a frame
    in every window, also when nothing happens. Only a model without calibration falls back to it.
    """
    scores = correct(raw, spec)
    if spec.scale is not None:
        low, high = np.float64(spec.scale[0]), np.float64(spec.scale[1])
    else:
        low, high = scores.min(-1, keepdims=True), scores.max(-1, keepdims=True)
    return np.clip((scores - low) / np.maximum(high - low, np.finfo(np.float64).tiny), 0.0, 1.0)


def gate(values: NDArray[np.float64], background: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Importance `[..., T]` times the probability that anything that matters is happening.

    The gradient of "nothing happens" is as large as any other: without this, an empty room has important frames.

    Args:
        background: probability of the background class, `[..., 1]`; 0 for models without one.
    """
    return values * (1.0 - background)


def rescale(score: float, threshold: float, to: float) -> float:
    """An importance in [0, 1], moved so that what lies at one threshold lies at another; 0 and 1 stay."""
    if score < threshold:
        return score * to / threshold
    return to if threshold == 1 else to + (score - threshold) * (1 - to) / (1 - threshold)
