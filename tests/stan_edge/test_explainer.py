from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.contract import METHODS, Method
from stan_edge.explainer import Explainer, softmax

logits = st.lists(st.floats(-500, 500, width=32), min_size=2, max_size=10).map(lambda v: np.array(v, np.float32))


@given(logits, st.floats(0.1, 10))
def test_probabilities_sum_to_1_and_keep_the_order_of_the_logits(values: np.ndarray, temperature: float) -> None:
    found = softmax(values, temperature)
    assert found.sum() == pytest.approx(1)
    assert ((found >= 0) & (found <= 1)).all()
    assert found[values.argmax()] == found.max()


def test_softmax_is_the_textbook_formula_with_a_temperature() -> None:
    expected = [math.exp(value / 2) for value in (1.0, 2.0, -1.0)]
    assert softmax(np.array([1, 2, -1], np.float32), 2.0) == pytest.approx(np.array(expected) / sum(expected))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_score_for_each_frame_and_a_map(
    tiny_bundle: Bundle, backend: Backend, method: Method, noisy: Callable[..., np.ndarray]
) -> None:
    found = Explainer(tiny_bundle, backend, method)(noisy(20, 190, 3, 64, 64))
    assert found.logits.shape == (5,)
    assert found.frame_scores.shape == (20,)
    assert found.map.shape[0] == 20
    assert found.map.ndim == 3
    assert np.isfinite(found.frame_scores).all()


def test_the_predicted_class_is_explained_unless_another_one_is_asked_for(
    explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    window = noisy(20, 190, 3, 64, 64)
    predicted = explainer(window)
    best = int(predicted.logits.argmax())
    assert np.array_equal(predicted.frame_scores, explainer(window, best).frame_scores)
    assert not np.allclose(predicted.frame_scores, explainer(window, (best + 2) % 5).frame_scores)


def test_the_model_of_these_tests_tells_light_from_dark(
    explainer: Explainer, tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    labels = [tiny_bundle.contract.classes[int(explainer(noisy(20, v, 9, 64, 64)).logits.argmax())] for v in (60, 190)]
    assert labels == ["background", "falling"]
