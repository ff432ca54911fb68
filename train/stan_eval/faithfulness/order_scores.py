"""What an order of a window's frames is worth: the network's answer when frames are taken away in that order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Substrate = Literal["nearest kept frame", "clip mean"]
"""What stands in for a frame that was taken away."""
SUBSTRATES: tuple[Substrate, ...] = get_args(Substrate)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of a window's frames, taken away or kept."""
FEW = (0.05, 0.1, 0.2, 0.5)
"""Of these, comprehensiveness and sufficiency are the mean: 1, 2, 4 and 10 of 20 frames."""
STAA_KEPT = 0.7

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Pictures `[P, T, S, S, 3]` to class probabilities `[C]`."""


@dataclass(frozen=True)
class OrderScores:
    """What one order of the frames of one window is worth; p is the probability of the class explained."""

    insertion: float
    """Mean p with only the first frames of the order, over their share."""
    deletion: float
    """Mean p without them."""
    comprehensiveness: float
    """Loss of p without a few of the first frames."""
    sufficiency: float
    """Loss of p with them alone; the lower, the better."""
    faithfulness: float
    """STAA's: 1 - mean |change of a probability| with the first 70 % kept."""
    monotonicity: float
    """STAA's: Kendall's tau of the share kept and the mean |change|; -1 is best."""

    @property
    def gain(self) -> float:
        """Insertion minus deletion: 0 for an order that says nothing."""
        return self.insertion - self.deletion


MEASURES = ("gain", "comprehensiveness", "sufficiency", "faithfulness", "monotonicity")


class Masked:
    """One window, `[P, T, S, S, 3]`, of which only some frames are kept; the network runs once for each such choice."""

    def __init__(self, classify: Classify, pictures: NDArray[np.uint8]) -> None:
        self._classify, self._pictures = classify, pictures
        self._mean = pictures.mean(1, keepdims=True).round().astype(np.uint8)
        self._known: dict[tuple[Substrate, bytes], NDArray[np.float64]] = {}
        self.frames = pictures.shape[1]

    def probabilities(self, kept: NDArray[np.bool_], substrate: Substrate) -> NDArray[np.float64]:
        """Of the classes `[C]`, when the frames that are not `kept` `[T]` are replaced."""
        key = substrate, kept.tobytes()
        if key not in self._known:
            self._known[key] = self._classify(self.pictures(kept, substrate))
        return self._known[key]

    def pictures(self, kept: NDArray[np.bool_], substrate: Substrate) -> NDArray[np.uint8]:
        """What the network sees; without any kept frame there is no nearest one, and the clip's mean stands in."""
        if kept.all():
            return self._pictures
        if substrate == "clip mean" or not kept.any():
            return np.where(kept[None, :, None, None, None], self._pictures, self._mean)
        places = np.flatnonzero(kept)
        nearest = places[np.abs(places[None] - np.arange(len(kept))[:, None]).argmin(1)]
        return self._pictures[:, nearest]


def order_scores(window: Masked, order: NDArray[np.int64], class_index: int, substrate: Substrate) -> OrderScores:
    """The worth of an order `[T]`, most important frame first."""
    from scipy.integrate import trapezoid
    from scipy.stats import kendalltau

    frames = window.frames
    counts = sorted({round(share * frames) for share in SHARES})
    shares = np.array(counts) / frames
    only, without = [], []
    for count in counts:
        first = np.isin(np.arange(frames), order[:count])
        only.append(window.probabilities(first, substrate))
        without.append(window.probabilities(~first, substrate))
    inserted, deleted = np.array(only), np.array(without)  # [K, C]
    whole = inserted[-1]
    few = [counts.index(round(share * frames)) for share in FEW]
    change = np.abs(inserted - whole).mean(1)
    tau = kendalltau(shares, change).statistic if np.ptp(change) > 0 else 0.0
    return OrderScores(
        insertion=float(trapezoid(inserted[:, class_index], shares)),
        deletion=float(trapezoid(deleted[:, class_index], shares)),
        comprehensiveness=float(whole[class_index] - deleted[few, class_index].mean()),
        sufficiency=float(whole[class_index] - inserted[few, class_index].mean()),
        faithfulness=float(1 - change[counts.index(round(STAA_KEPT * frames))]),
        monotonicity=float(tau),
    )


def stride_order(frames: int) -> NDArray[np.int64]:
    """Odd frames before even ones: what an uncorrected gradient says of any video."""
    return np.concatenate([np.arange(1, frames, 2), np.arange(0, frames, 2)])
