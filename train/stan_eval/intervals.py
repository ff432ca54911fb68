"""A figure, and how far it could be off: 95 % intervals over whole groups, folds, or counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
FEWEST_GROUPS = 5
"""Resampling fewer groups than this says nothing of how the next one would do."""
FEWEST_FOLDS = 3

UnitOfMeasure = Literal["share", "seconds", "per hour", "score"]


class Unit(NamedTuple):
    """What is drawn as a whole: all clips of one group, which resemble each other, in one fold."""

    fold: int
    group: str


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95 % interval; None: too few groups or folds, or too much alike, to tell."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Windows, frames, videos or events that it rests on."""
    unit: UnitOfMeasure = "share"


class Draws:
    """Weights of units: as they are in row 0, then resampled with replacement, or one fold each where there are folds.

    A statistic computed for every row of `weights` at once gives its value and its spread. The same units give the
    same draws, so that two models differ by what they do and not by luck.
    """

    def __init__(self, units: Iterable[Unit], seed: int = 0) -> None:
        names = sorted(set(units))
        self._place = {unit: k for k, unit in enumerate(names)}
        folds = np.array([unit.fold for unit in names])
        count = len(names)
        self._over_folds = len(np.unique(folds)) >= FEWEST_FOLDS
        if not names:
            others = np.zeros((0, 0))
        elif self._over_folds:
            others = (folds == np.unique(folds)[:, None]).astype(np.float64)
        else:
            even = np.full(count, 1 / count)
            others = np.random.default_rng(seed).multinomial(count, even, RESAMPLES).astype(np.float64)
        self.weights: NDArray[np.float64] = np.concatenate([np.ones((1, count)), others])  # [1 + B, G]

    def places(self, units: Sequence[Unit]) -> NDArray[np.int64]:
        """Columns of `weights` that belong to units, int64 [N]."""
        return np.array([self._place[unit] for unit in units], np.int64)

    def sums(self, units: Sequence[Unit], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted sums [1 + B, ...] of one value [N, ...] for each item; the item belongs to the unit beside it."""
        per_unit = np.zeros((self.weights.shape[1], *values.shape[1:]))
        np.add.at(per_unit, self.places(units), values)
        return np.tensordot(self.weights, per_unit, axes=1)

    def figure(self, values: NDArray[np.float64], n: int, groups: int, unit: UnitOfMeasure = "share") -> Figure | None:
        """The figure of a statistic [1 + B]; NaN where a draw leaves it undefined. None: it has no value at all.

        Percentiles of the resamples, widened where they miss the value; with folds, value +- t s / sqrt(folds). No
        interval where no draw differs: groups that all do the same leave open how unlike the next one may be.

        Args:
            groups: how many units the statistic rests on.
        """
        value, others = float(values[0]), values[1:][np.isfinite(values[1:])]
        if math.isnan(value):
            return None
        low: float | None = None
        high: float | None = None
        if not len(others) or np.ptp(others) == 0:
            pass
        elif self._over_folds:
            if len(others) >= FEWEST_FOLDS:
                from scipy.stats import t

                half = float(t.ppf((1 + LEVEL) / 2, len(others) - 1) * others.std(ddof=1) / math.sqrt(len(others)))
                low, high = (value - half if unit == "score" else max(value - half, 0.0)), value + half
        elif groups >= FEWEST_GROUPS:
            ends = np.quantile(others, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            low, high = min(float(ends[0]), value), max(float(ends[1]), value)
        if high is not None and unit == "share":
            high = min(high, 1.0)
        return Figure(value, low, high, n, unit)


def rate(count: int, hours: float) -> Figure | None:
    """Events per hour with the exact Poisson interval (Garwood, Biometrika 28, 1936); None without any time."""
    from scipy.stats import chi2

    if hours <= 0:
        return None
    tail = (1 - LEVEL) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    high = float(chi2.ppf(1 - tail, 2 * count + 2)) / 2
    return Figure(count / hours, low / hours, high / hours, count, "per hour")


def proportion(hits: int, of: int) -> Figure | None:
    """A share with the exact binomial interval (Clopper and Pearson, Biometrika 26, 1934); None of nothing."""
    from scipy.stats import binomtest

    if of == 0:
        return None
    low, high = binomtest(hits, of).proportion_ci(LEVEL, "exact")
    return Figure(hits / of, float(low), float(high), of)


def divide(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient, NaN where there is nothing to divide by."""
    return np.divide(above, below, out=np.full(np.broadcast_shapes(above.shape, below.shape), np.nan), where=below > 0)
