"""A bundle on a backend: windows of pictures in, class logits, raw frame scores and a space-time map out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend, Batching, BuiltGraph, Graph, engine_name
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.smoothgrad import StreamNoise, noise

PREDICTED = -1
"""Class index that asks the graph to explain the class it predicts."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one window: one graph run, or the mean of one run for each pass."""

    logits: NDArray[np.float32]  # [C]


@dataclass(frozen=True, eq=False)
class Explanation(Prediction):
    """And why."""

    frame_scores: NDArray[np.float32]  # [T], raw: see `attribution`
    map: NDArray[np.float32]  # [T, h, w], raw and coarse


class Explainer:
    """One attribution method of a bundle, loaded on a backend and warm: the first run takes memory and time, and would
    make the first window late."""

    def __init__(self, bundle: Bundle, backend: Backend, method: Method) -> None:
        graph = bundle.explain(method, bundle.form(engine_name(backend)))
        spec = bundle.contract.methods[method]
        self.method = method
        self._classes = len(bundle.contract.classes)
        self._class_specific = spec.class_specific
        self._noise: Callable[[int], NDArray[np.float32]] | None = None
        if method == "streaming":
            self._noise = StreamNoise(bundle.contract.input)
        elif spec.samples is not None:
            same = noise(bundle.contract.input, spec.samples)
            same.setflags(write=False)  # a backend that sees the same array again need not copy it again
            self._noise = lambda _window: same
        self._graph = backend.load(graph)
        self.batch_size = 1 if method == "streaming" else _batch_size(self._graph)  # that has a noise for each window
        """Windows that one run of the graph takes at most."""
        self.identity = self._graph.identity if isinstance(self._graph, BuiltGraph) else ""
        """Of an engine that was built here; otherwise empty."""
        self._run(_black(bundle), PREDICTED, 0)

    def __call__(self, pictures: NDArray[np.uint8], class_index: int = PREDICTED, window: int = 0) -> Explanation:
        """Explain one window: one graph run for each pass.

        Several passes are explained for the class of their mean logits. One that predicts another class by itself
        is run once more, so that two passes take two runs where they agree, mostly three where they do not, and
        four at worst; always two for a method that is the same for every class.

        Args:
            pictures: `[T, S, S, 3]`, RGB, framed and with the view applied, or `[P, T, S, S, 3]`, one for each pass.
            class_index: the class whose logit is explained; the predicted one by default.
            window: its number in the stream; gives `streaming` its noise.

        Raises:
            ConfigError: there is no such class (the graph would give zeros without a word).
        """
        self._check_class(class_index)
        if pictures.ndim == 4:
            return self._run(pictures, class_index, window)
        found = [self._run(frames, class_index, window) for frames in pictures]
        if len(found) == 1:
            return found[0]
        logits = np.mean([one.logits for one in found], axis=0)
        if class_index == PREDICTED and self._class_specific:
            best = int(logits.argmax())
            found = [
                one if one.logits.argmax() == best else self._run(frames, best, window)
                for one, frames in zip(found, pictures, strict=True)
            ]
        return Explanation(
            logits,
            np.mean([one.frame_scores for one in found], axis=0),
            np.mean([one.map for one in found], axis=0),
        )

    def batch(
        self, pictures: Sequence[NDArray[np.uint8]], class_indices: Sequence[int], windows: Sequence[int]
    ) -> list[Explanation]:
        """Explain several windows, in one graph run if there are at most `batch_size`; each as if it were alone.

        Args:
            pictures: one array for each window, as a call takes it.
            class_indices: the class to explain, by window.
            windows: their numbers, each in its own stream.

        Raises:
            ConfigError: one of the classes does not exist.
        """
        if not _fit_one_run(pictures, self.batch_size):
            return [self(*window) for window in zip(pictures, class_indices, windows, strict=True)]
        for class_index in class_indices:
            self._check_class(class_index)
        feeds: dict[str, NDArray[Any]] = {
            "frames": _joined(pictures),
            "class_index": np.array(class_indices, np.int64),
        }
        if self._noise is not None:
            feeds["noise"] = self._noise(0)
        out = self._graph(feeds)
        return list(map(Explanation, out["logits"], out["frame_scores"], out["map"]))

    def _check_class(self, class_index: int) -> None:
        if not PREDICTED <= class_index < self._classes:
            raise ConfigError(
                f"Class {class_index} cannot be explained; the model has classes 0 to {self._classes - 1}."
            )

    def _run(self, frames: NDArray[np.uint8], class_index: int, window: int) -> Explanation:
        feeds: dict[str, NDArray[Any]] = {
            "frames": frames[None],
            "class_index": np.array([class_index], np.int64),
        }
        if self._noise is not None:
            feeds["noise"] = self._noise(window)
        out = self._graph(feeds)
        return Explanation(out["logits"][0], out["frame_scores"][0], out["map"][0])


class Classifier:
    """The forward graph of a bundle on a backend, warm: labels without explanations, where time is short."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._graph = backend.load(bundle.forward(bundle.form(engine_name(backend))))
        self.batch_size = _batch_size(self._graph)
        self(_black(bundle))

    def __call__(self, pictures: NDArray[np.uint8], class_index: int = PREDICTED, window: int = 0) -> Prediction:
        """Label one window: one graph run for each pass.

        Args:
            pictures: as an `Explainer` takes them.
            class_index: not needed, as nothing is explained.
            window: likewise.
        """
        passes = pictures[None] if pictures.ndim == 4 else pictures
        return Prediction(np.mean([self._graph({"frames": frames[None]})["logits"][0] for frames in passes], axis=0))

    def batch(
        self, pictures: Sequence[NDArray[np.uint8]], class_indices: Sequence[int], windows: Sequence[int]
    ) -> list[Prediction]:
        """Label several windows; see `Explainer.batch`."""
        if not _fit_one_run(pictures, self.batch_size):
            return [self(*window) for window in zip(pictures, class_indices, windows, strict=True)]
        return list(map(Prediction, self._graph({"frames": _joined(pictures)})["logits"]))


def _black(bundle: Bundle) -> NDArray[np.uint8]:
    """A window that shows nothing."""
    spec = bundle.contract.input
    return np.zeros((spec.frames, spec.size_px, spec.size_px, 3), np.uint8)


def _fit_one_run(pictures: Sequence[NDArray[np.uint8]], batch_size: int) -> bool:
    """Windows of one pass each, and no more of them than the graph takes."""
    return 1 < len(pictures) <= batch_size and all(window.ndim == 4 or len(window) == 1 for window in pictures)


def _joined(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack([window.reshape(window.shape[-4:]) for window in pictures])


def _batch_size(graph: Graph) -> int:
    return graph.most_windows if isinstance(graph, Batching) else 1


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Class probabilities `[..., C]` from logits `[..., C]`; NaN where these are."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
