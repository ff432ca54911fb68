"""From the raw space-time maps of windows to heat over frames that a person can look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import Contract
from stan_edge.records import WindowResult
from stan_edge.types import Square


@dataclass(frozen=True, eq=False)
class FrameHeat:
    """Where the network looked in one frame."""

    cells: NDArray[np.float32]
    """`[h, w]`, 0 to 1."""
    square: Square
    """The part of the source frame that the cells cover."""
    probability: float
    """How sure the window was that the heat is from."""
    t_s: float
    """When the frame was taken."""


class SurestHeat:
    """Per frame the heat of the window that was surest, of all the overlapping ones that hold it.

    Args:
        of_class: only windows that explain this class count, by their probability of it. None: windows count by the
            probability of their own label, and those that say background not at all.
    """

    def __init__(self, contract: Contract, of_class: str | None = None) -> None:
        self._contract = contract
        self._of_class = of_class
        self._by_frame: dict[int, FrameHeat] = {}

    def add(self, result: WindowResult, raw_map: NDArray[np.floating[Any]], square: Square) -> None:
        """Take an explained window; one without an explanation or a vote is passed over. Of equals the first stays.

        Args:
            raw_map: `[T, h, w]`, as the model gives it, a map for each of `result.frames`.
            square: what the network's pictures show of the frames.
        """
        probability = self._probability(result)
        if probability is None or result.method is None:
            return
        covered = covered_square(
            square, raw_map.shape[-1], self._contract.methods[result.method].cell_px, self._contract.input.size_px
        )
        for frame, cells in zip(result.frames, focus(raw_map), strict=True):
            known = self._by_frame.get(frame.index)
            if known is None or known.probability < probability:
                self._by_frame[frame.index] = FrameHeat(cells, covered, probability, frame.t_s)

    def get(self, index: int) -> FrameHeat | None:
        """The heat of a frame, None where no window that counts holds it."""
        return self._by_frame.get(index)

    def pop(self, index: int) -> FrameHeat | None:
        """The same, forgotten afterwards."""
        return self._by_frame.pop(index, None)

    def forget_before(self, t_s: float) -> None:
        """Drop the frames that were taken before a time."""
        self._by_frame = {index: heat for index, heat in self._by_frame.items() if heat.t_s >= t_s}

    def _probability(self, result: WindowResult) -> float | None:
        if self._of_class is None:
            return None if result.label == self._contract.background else result.probability
        if result.explained_class != self._of_class or result.probabilities is None:
            return None
        return result.probabilities.get(self._of_class, 0.0)


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


def covered_square(square: Square, cells: int, cell_px: int, size_px: int) -> Square:
    """The part of a square of the source frame that a map of `cells` a side covers: it may end before the network's
    picture of `size_px` does, where that is no multiple of the cell."""
    return replace(square, side_px=round(square.side_px * cells * cell_px / size_px))
