from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends.base import Backend, Graph
from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import METHODS, Method
from stan_edge.pipeline.predictor import PREDICTED, Classifier, Explainer, softmax

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

    name, precision = "scripted", "f32"

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
    explainer = Explainer(tiny_bundle, backend, method)
    assert backend.explained == [0]  # it is warm
    backend.explained.clear()
    found = explainer(np.stack([saying(*first), saying(*second)]))
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


class SeveralAtOnce:
    """A processor's engine that says, as those on a GPU do, that it likes several windows in one run."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.name, self.version, self.precision = backend.name, backend.version, backend.precision
        self.device, self.fallback = backend.device, backend.fallback
        self.runs: list[int] = []

    def load(self, path: Path) -> Graph:
        graph, runs = self._backend.load(path), self.runs

        class Several:
            inputs, most_windows = graph.inputs, 3

            def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
                runs.append(len(feeds["frames"]))
                return graph(feeds)

        return Several()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_windows_that_share_a_run_are_explained_as_if_each_were_alone(
    tiny_bundle: Bundle, name: str, method: Method
) -> None:
    backend = SeveralAtOnce(open_backend(name, threads=1))
    explainer, labeller = Explainer(tiny_bundle, backend, method), Classifier(tiny_bundle, backend)
    assert backend.runs == [1, 1]  # both are warm
    windows = np.random.default_rng(3).integers(0, 256, (5, 20, 64, 64, 3), np.uint8)
    asked = (PREDICTED, 0, 1, PREDICTED, 1)
    alone = [explainer(window, label, k) for k, (window, label) in enumerate(zip(windows, asked, strict=True))]
    for part, runs in ((slice(0, 3), [3]), (slice(2, 3), [1]), (slice(0, 5), [1] * 5)):
        backend.runs.clear()
        together = explainer.batch(list(windows[part]), asked[part], range(5)[part])
        assert backend.runs == (runs if method != "streaming" else [1] * len(together))
        for one, expected in zip(together, alone[part], strict=True):
            for field in ("logits", "frame_scores", "map"):
                found, value = getattr(one, field), getattr(expected, field)
                assert found == pytest.approx(value, rel=1e-4, abs=1e-5 * np.abs(value).max())
    for verdict, expected in zip(labeller.batch(list(windows[:3]), asked[:3], range(3)), alone, strict=False):
        assert verdict.logits == pytest.approx(expected.logits, rel=1e-4)


def test_a_class_that_is_not_there_is_refused_in_a_batch_too(tiny_bundle: Bundle) -> None:
    explainer = Explainer(tiny_bundle, SeveralAtOnce(open_backend("onnxruntime", threads=1)), "vanilla")
    windows = [np.zeros((20, 64, 64, 3), np.uint8)] * 2
    with pytest.raises(ConfigError, match="Class 9 cannot be explained"):
        explainer.batch(windows, (0, 9), (0, 1))
