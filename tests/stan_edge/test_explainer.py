from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends import BACKENDS, Backend, Graph, open_backend
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


@pytest.mark.parametrize("name", BACKENDS)
def test_smoothgrad_repeats_bit_for_bit(tiny_bundle: Bundle, name: str, noisy: Callable[..., np.ndarray]) -> None:
    window = noisy(20, 190, 3, 64, 64)
    engines = [open_backend(name, threads=1) for _ in range(2)]
    first, again = (Explainer(tiny_bundle, engine, "smoothgrad")(window) for engine in engines)
    for output in ("logits", "frame_scores", "map"):
        assert np.array_equal(getattr(first, output), getattr(again, output)), output


def test_smoothgrad_says_the_same_as_the_model_without_noise_but_scores_differently(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    window = noisy(20, 190, 3, 64, 64)
    smooth, vanilla = Explainer(tiny_bundle, backend, "smoothgrad")(window), explainer(window)
    assert np.array_equal(smooth.logits, vanilla.logits)
    assert not np.allclose(smooth.frame_scores, vanilla.frame_scores, rtol=0.01)


def test_the_predicted_class_is_explained_unless_another_one_is_asked_for(
    explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    window = noisy(20, 190, 3, 64, 64)
    predicted = explainer(window)
    best = int(predicted.logits.argmax())
    assert np.array_equal(predicted.frame_scores, explainer(window, best).frame_scores)
    assert not np.allclose(predicted.frame_scores, explainer(window, (best + 2) % 5).frame_scores)


class Scripted:
    """A backend whose graph reads the logits off the first pixels, and scores frames by the class it explains."""

    def __init__(self) -> None:
        self.explained: list[int] = []

    def load(self, path: Path) -> Graph:
        return self

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        logits = feeds["frames"][0, 0, 0, :5, 0].astype(np.float32)
        asked = int(feeds["class_index"][0])
        self.explained.append(int(logits.argmax()) if asked < 0 else asked)
        scores = np.full((1, 20), 10.0 * self.explained[-1], np.float32) + logits[0]
        return {"logits": logits[None], "frame_scores": scores, "map": np.tile(scores[..., None, None], (1, 1, 4, 4))}


def saying(*logits: int) -> np.ndarray:
    pictures = np.zeros((20, 64, 64, 3), np.uint8)
    pictures[0, 0, :5, 0] = logits
    return pictures


def test_passes_are_averaged(explainer: Explainer, noisy: Callable[..., np.ndarray]) -> None:
    passes = np.stack([noisy(20, 185, 3, 64, 64), noisy(20, 60, 4, 64, 64)])
    singles = [explainer(frames, 2) for frames in passes]
    found = explainer(passes, 2)
    for name in ("logits", "frame_scores", "map"):
        first, second = (getattr(single, name) for single in singles)
        assert getattr(found, name) == pytest.approx((first + second) / 2), name


@pytest.mark.parametrize("method", METHODS)
def test_one_pass_is_the_window_itself(
    tiny_bundle: Bundle, backend: Backend, method: Method, noisy: Callable[..., np.ndarray]
) -> None:
    explainer, window = Explainer(tiny_bundle, backend, method), noisy(20, 190, 3, 64, 64)
    for name in ("logits", "frame_scores", "map"):
        assert np.array_equal(getattr(explainer(window[None]), name), getattr(explainer(window), name))


def test_passes_that_disagree_are_explained_for_the_class_of_their_mean_logits(
    explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    dark, bright = noisy(20, 60, 3, 64, 64), noisy(20, 190, 3, 64, 64)
    assert explainer(dark).logits.argmax() != explainer(bright).logits.argmax()
    found = explainer(np.stack([dark, bright]))
    expected = explainer(np.stack([dark, bright]), int(found.logits.argmax()))
    assert np.array_equal(found.frame_scores, expected.frame_scores)
    assert np.array_equal(found.map, expected.map)


@pytest.mark.parametrize(
    ("method", "first", "second", "explained"),
    [
        ("vanilla", (1, 9, 0, 0, 0), (5, 7, 0, 0, 0), [1, 1]),
        ("vanilla", (1, 9, 0, 0, 0), (5, 4, 0, 0, 0), [1, 0, 1]),
        ("vanilla", (9, 0, 8, 0, 0), (0, 9, 8, 0, 0), [0, 1, 2, 2]),
        ("staa", (9, 0, 8, 0, 0), (0, 9, 8, 0, 0), [0, 1]),
    ],
    ids=["agree", "one is outvoted", "neither predicts the class", "the same for every class"],
)
def test_only_a_pass_that_explained_another_class_runs_again(
    tiny_bundle: Bundle, method: Method, first: tuple[int, ...], second: tuple[int, ...], explained: list[int]
) -> None:
    backend = Scripted()
    found = Explainer(tiny_bundle, backend, method)(np.stack([saying(*first), saying(*second)]))
    assert backend.explained == explained
    assert found.logits.tolist() == [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    if method == "vanilla":
        level = 10 * found.logits.argmax() + found.logits[0]
        assert (found.frame_scores == level).all()
        assert (found.map == level).all()


def test_the_model_of_these_tests_tells_light_from_dark(
    explainer: Explainer, tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]
) -> None:
    labels = [tiny_bundle.contract.classes[int(explainer(noisy(20, v, 9, 64, 64)).logits.argmax())] for v in (60, 190)]
    assert labels == ["background", "falling"]
