from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stan_eval.intervals import Draws, Unit, divide, proportion, rate


def units(groups: int, folds: int = 1) -> list[Unit]:
    return [Unit(k % folds, f"group {k}") for k in range(groups)]


def mean_of(draws: Draws, of: list[Unit], values: np.ndarray) -> np.ndarray:
    return divide(draws.sums(of, values), draws.sums(of, np.ones(len(values))))


@given(st.lists(st.floats(0, 1), min_size=5, max_size=12))
def test_an_interval_holds_its_value_and_lies_within_the_data(values: list[float]) -> None:
    of = units(len(values))
    draws = Draws(of)
    figure = draws.figure(mean_of(draws, of, np.array(values)), len(values), len(values))
    assert figure is not None
    assert figure.value == pytest.approx(np.mean(values))
    if figure.low is not None and figure.high is not None:
        assert min(values) - 1e-9 <= figure.low <= figure.value <= figure.high <= max(values) + 1e-9


def test_the_spread_is_that_of_the_mean_of_groups() -> None:
    of = units(200)
    values = np.random.default_rng(1).normal(0.5, 0.1, 200)
    draws = Draws(of)
    figure = draws.figure(mean_of(draws, of, values), 200, 200)
    assert figure is not None and figure.low is not None and figure.high is not None
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(200), rel=0.15)


def test_many_items_of_one_group_are_no_surer_than_one() -> None:
    of = units(20)
    values = np.random.default_rng(2).random(20)
    draws = Draws(of)
    one = draws.figure(mean_of(draws, of, values), 20, 20)
    many = draws.figure(mean_of(draws, of * 50, np.tile(values, 50)), 1000, 20)
    assert one is not None and many is not None
    assert (many.low, many.high) == pytest.approx((one.low, one.high))


def test_three_folds_give_the_t_interval() -> None:
    of = units(6, folds=3)
    values = np.array([0.5, 0.6, 0.7, 0.5, 0.6, 0.7])
    draws = Draws(of)
    figure = draws.figure(mean_of(draws, of, values), 6, 6)
    expected = stats.t.interval(0.95, 2, loc=0.6, scale=stats.sem([0.5, 0.6, 0.7]))
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.6, *expected))


@pytest.mark.parametrize("groups", [1, 4])
def test_few_groups_have_no_interval(groups: int) -> None:
    of = units(groups)
    draws = Draws(of)
    figure = draws.figure(mean_of(draws, of, np.arange(groups) / 10), groups, groups)
    assert figure is not None
    assert (figure.low, figure.high) == (None, None)


def test_groups_that_are_all_alike_have_no_interval() -> None:
    of = units(10)
    draws = Draws(of)
    figure = draws.figure(mean_of(draws, of, np.ones(10)), 10, 10)
    assert figure is not None
    assert (figure.value, figure.low, figure.high) == (1.0, None, None)


@given(st.integers(0, 200), st.floats(0.01, 1000))
def test_a_rate_has_the_exact_poisson_interval(count: int, hours: float) -> None:
    figure = rate(count, hours)
    assert figure is not None and figure.low is not None and figure.high is not None
    # at the ends, what was seen or anything beyond it has a chance of 2.5 %
    assert stats.poisson.cdf(count, figure.high * hours) == pytest.approx(0.025, rel=1e-6)
    if count:
        assert stats.poisson.sf(count - 1, figure.low * hours) == pytest.approx(0.025, rel=1e-6)
    else:
        assert figure.low == 0.0


def test_no_time_has_no_rate() -> None:
    assert rate(0, 0.0) is None


@given(st.integers(1, 60), st.data())
def test_a_proportion_has_the_exact_binomial_interval(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    figure = proportion(hits, of)
    assert figure is not None and figure.low is not None and figure.high is not None
    # at the ends, what was seen or anything beyond it has a chance of 2.5 %
    if hits:
        assert stats.binom.sf(hits - 1, of, figure.low) == pytest.approx(0.025, rel=1e-6)
    else:
        assert figure.low == 0.0
    if hits < of:
        assert stats.binom.cdf(hits, of, figure.high) == pytest.approx(0.025, rel=1e-6)
    else:
        assert figure.high == 1.0
