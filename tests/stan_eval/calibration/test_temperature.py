from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_eval.calibration.temperature import BOUNDS, fit_temperature, negative_log_likelihood


def drawn(temperature: float, seed: int, count: int = 4000, spread: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread * temperature, (count, 4)).astype(np.float32)
    gumbel = -np.log(-np.log(rng.random(logits.shape)))
    return logits, (logits / temperature + gumbel).argmax(1)


@settings(max_examples=10)
@given(st.floats(0.4, 5.0), st.integers(0, 100))
def test_a_known_temperature_is_recovered(temperature: float, seed: int) -> None:
    assert fit_temperature(*drawn(temperature, seed)).value == pytest.approx(temperature, rel=0.1)


@given(st.integers(0, 1000), st.floats(0.25, 10.0))
def test_no_temperature_within_the_bounds_is_more_likely(seed: int, other: float) -> None:
    logits, labels = drawn(2.0, seed, count=30)
    found = fit_temperature(logits, labels)
    assert found.nll_after <= negative_log_likelihood(logits.astype(np.float64), labels, other) + 1e-9
    assert found.nll_after <= found.nll_before + 1e-9


def test_the_likelihood_is_that_of_the_softmax() -> None:
    logits, labels = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]]), np.array([0, 2])
    probabilities = np.exp(logits / 2) / np.exp(logits / 2).sum(1, keepdims=True)
    expected = -np.log(probabilities[[0, 1], labels]).mean()
    assert negative_log_likelihood(logits, labels, 2.0) == pytest.approx(expected)


def test_a_model_without_a_mistake_does_not_become_endlessly_sure() -> None:
    found = fit_temperature(np.eye(3, dtype=np.float32) * 5, np.arange(3))
    assert found.at_bound
    assert found.value == BOUNDS[0]
