"""Percentiles that are never guessed, and how sure they are without assuming any distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

P99_SAMPLES = 1000
"""A 99th percentile of fewer samples is a guess about one or two of them; it is left out."""
CONFIDENCE = 0.95
LEVELS = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}

Interval = tuple[float | None, float | None]
"""Low and high end; None: there are too few values for a bound on this side."""


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90, p95, p99 and max; p99 is None under `P99_SAMPLES` values."""
    found: dict[str, float | None] = {
        name: float(np.percentile(values, level * 100)) if _enough(name, len(values)) else None
        for name, level in LEVELS.items()
    }
    return found | {"max": max(values)}


def intervals(values: Sequence[float]) -> dict[str, Interval | None]:
    """The interval of each percentile that `percentiles` gives; None where it gives none.

    Independent values are assumed. Neighbours in time are not quite that, so the truth is a little wider.
    """
    ordered = sorted(values)
    return {name: _interval(ordered, level) if _enough(name, len(values)) else None for name, level in LEVELS.items()}


def order_bounds(count: int, level: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """Ranks (1: the smallest value) between which the quantile of any continuous distribution lies this often or more.

    How many of `count` values lie below the quantile is binomial, so that the value of rank r is above it with the
    probability that fewer than r are below. Both tails get at most half of what is left. (David and Nagaraja, Order
    Statistics, 7.1.)

    Returns:
        The two ranks; None where even the smallest or the largest value is no bound.
    """
    tail = (1 - confidence) / 2
    ranks = np.arange(1, count + 1)
    # log P(k values below), k = 0 .. count, by the ratio of neighbours: no factorial overflows
    log_ratio = np.log((count - ranks + 1) / ranks) + math.log(level) - math.log1p(-level)
    log_pmf = count * math.log1p(-level) + np.concatenate([[0.0], np.cumsum(log_ratio)])
    below = np.cumsum(np.exp(log_pmf))  # P(at most k)
    low = int(np.searchsorted(below, tail, side="right"))  # as many k have P(at most k) <= tail
    above = np.cumsum(np.exp(log_pmf[::-1]))  # P(at least count - j)
    high = count + 1 - int(np.searchsorted(above, tail, side="right"))
    return (low if low >= 1 else None), (high if high <= count else None)


def _interval(ordered: Sequence[float], level: float) -> Interval:
    low, high = order_bounds(len(ordered), level)
    return None if low is None else ordered[low - 1], None if high is None else ordered[high - 1]


def _enough(name: str, count: int) -> bool:
    return name != "p99" or count >= P99_SAMPLES
