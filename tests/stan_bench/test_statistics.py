from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stan_bench.statistics import CONFIDENCE, LEVELS, intervals, order_bounds, percentiles

COUNTS = st.integers(1, 3000)
ANY_LEVEL = st.sampled_from(sorted(LEVELS.values()))


def test_a_99th_percentile_of_fewer_than_1000_values_is_left_out() -> None:
    assert percentiles([1.0] * 999)["p99"] is None
    assert percentiles([1.0] * 1000)["p99"] == 1.0
    assert intervals([1.0] * 999)["p99"] is None
    assert intervals([1.0] * 1000)["p99"] == (1.0, 1.0)


def test_percentiles_keep_the_tail() -> None:
    values = np.random.default_rng(0).permutation(np.arange(2001.0)).tolist()
    assert percentiles(values) == {"p50": 1000, "p90": 1800, "p95": 1900, "p99": 1980, "max": 2000}
    assert percentiles([1.0, 2.0, 900.0])["max"] == 900.0


@given(COUNTS, ANY_LEVEL)
def test_the_bounds_are_the_tightest_that_the_binomial_distribution_allows(count: int, level: float) -> None:
    tail = (1 - CONFIDENCE) / 2
    low, high = order_bounds(count, level)
    below = stats.binom(count, level)  # how many values lie below the quantile
    # the value of rank r is above the quantile when fewer than r are below it
    assert below.cdf((low or 0) - 1) <= tail < below.cdf(low or 0)
    # and it is below the quantile when at least r are
    assert below.sf((high or count + 1) - 1) <= tail < below.sf((high or count + 1) - 2)


@pytest.mark.parametrize("level", LEVELS.values())
@pytest.mark.parametrize("count", [5, 6, 40, 300, 2000])
def test_the_interval_holds_the_quantile_as_often_as_it_says(count: int, level: float) -> None:
    trials = 4000
    values = np.sort(np.random.default_rng(count).exponential(size=(trials, count)), axis=1)
    truth = -np.log1p(-level)
    low, high = order_bounds(count, level)
    above = np.ones(trials, bool) if low is None else values[:, low - 1] <= truth
    below = np.ones(trials, bool) if high is None else values[:, high - 1] >= truth
    missed_by_chance = 4 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / trials)
    assert (above & below).mean() >= CONFIDENCE - missed_by_chance


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_an_interval_holds_its_percentile_and_only_values_that_were_seen(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(size=count).tolist()
    for name, ends in intervals(values).items():
        value = percentiles(values)[name]
        assert (ends is None) == (value is None)
        if ends is None or value is None:
            continue
        low, high = ends
        assert low is None or (low in values and low <= value)
        assert high is None or (high in values and high >= value)


def test_too_few_values_bound_nothing() -> None:
    assert order_bounds(5, 0.5) == (None, None)  # all five on one side: once in sixteen times
    assert order_bounds(6, 0.5) == (1, 6)
    assert order_bounds(50, 0.95)[1] is None
    assert intervals([7.0])["p50"] == (None, None)


def test_a_hundred_thousand_values_do_not_underflow() -> None:
    low, high = order_bounds(100_000, 0.99)
    expected = stats.binom(100_000, 0.99).ppf([0.025, 0.975])
    assert low == pytest.approx(expected[0], abs=1)
    assert high == pytest.approx(expected[1] + 1, abs=1)
