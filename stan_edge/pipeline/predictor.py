"""A bundle on a backend: windows of pictures in, class logits, raw frame scores and a space-time map out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend, Batching, BuiltGraph, Graph, engine_name
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, InputSpec, Method
from stan_edge.pipeline.smoothgrad import StreamNoise, noise

PREDICTED = -1
"""Class index that asks the graph to explain the class it predicts."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one window: one graph run, or the mean of one run for each pass."""

    logits: NDArray[np.float32]  # [C]


@dataclass(frozen=True, eq=False)
class Explanation(Prediction):
    """And which frames, and where in them, made it say so."""

    frame_scores: NDArray[np.float32]  # [T], raw: see `attribution`
    map: NDArray[np.float32]  # [T, h, w], raw and coarse
    method: Method


P_co = TypeVar("P_co", bound=Prediction, covariant=True)


class Predictor(ABC, Generic[P_co]):
    """A graph of a bundle, loaded on a backend and warm: the first run takes memory and time, and would make the first
    window late."""

    batch_size: int
    """Windows that one run of the graph takes at most."""

    def __init__(self, graph: Graph, spec: InputSpec) -> None:
        self._graph = graph
        self.batch_size = graph.most_windows if isinstance(graph, Batching) else 1
        self._run(np.zeros((1, spec.frames, spec.size_px, spec.size_px, 3), np.uint8), (PREDICTED,), 0)

    def __call__(self, pictures: NDArray[np.uint8], class_index: int = PREDICTED, window: int = 0) -> P_co:
        """Predict one window: one graph run for each pass.

        Args:
            pictures: `[T, S, S, 3]`, RGB, framed and with the view applied, or `[P, T, S, S, 3]`, one for each pass.
            class_index: the class whose logit is explained; the predicted one by default.
            window: its number in the stream; gives `streaming` its noise.

        Raises:
            ConfigError: there is no such class (the graph would give zeros without a word).
        """
        passes = pictures[None] if pictures.ndim == 4 else pictures
        found = [self._run(frames[None], (class_index,), window)[0] for frames in passes]
        return found[0] if len(found) == 1 else self._mean(found, passes, class_index, window)

    def batch(
        self, pictures: Sequence[NDArray[np.uint8]], class_indices: Sequence[int], windows: Sequence[int]
    ) -> Sequence[P_co]:
        """Predict several windows, in one graph run if there are at most `batch_size` of one pass each; each as if it
        were alone.

        Args:
            pictures, class_indices, windows: what a call takes, for each window.

        Raises: see a call.
        """
        one_pass = all(window.ndim == 4 or len(window) == 1 for window in pictures)
        if not (one_pass and 1 < len(pictures) <= self.batch_size):
            return [self(*window) for window in zip(pictures, class_indices, windows, strict=True)]
        frames = np.stack([window.reshape(window.shape[-4:]) for window in pictures])
        return self._run(frames, class_indices, 0)

    @abstractmethod
    def _run(self, frames: NDArray[np.uint8], class_indices: Sequence[int], window: int) -> Sequence[P_co]:
        """One graph run of B windows, `[B, T, S, S, 3]`, a class for each; `window` is the number of a single one."""

    @abstractmethod
    def _mean(self, found: list[Any], passes: NDArray[np.uint8], class_index: int, window: int) -> P_co:
        """One prediction for the several of a window's passes."""


class Explainer(Predictor[Explanation]):
    """One attribution method of a bundle."""

    def __init__(self, bundle: Bundle, backend: Backend, method: Method) -> None:
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
        graph = backend.load(bundle.explain(method, bundle.form(engine_name(backend))))
        super().__init__(graph, bundle.contract.input)
        if method == "streaming":
            self.batch_size = 1  # it has a noise for each window
        self.identity = graph.identity if isinstance(graph, BuiltGraph) else ""
        """Of an engine that was built here; otherwise empty."""

    def _mean(self, found: list[Explanation], passes: NDArray[np.uint8], class_index: int, window: int) -> Explanation:
        """Several passes are explained for the class of their mean logits. One that predicts another class by itself
        is run once more, so that two passes take two runs where they agree, mostly three where they do not, and
        four at worst; always two for a method that is the same for every class.
        """
        logits = np.mean([one.logits for one in found], axis=0)
        if class_index == PREDICTED and self._class_specific:
            best = int(logits.argmax())
            found = [
                one if one.logits.argmax() == best else self._run(frames[None], (best,), window)[0]
                for one, frames in zip(found, passes, strict=True)
            ]
        return Explanation(
            logits,
            np.mean([one.frame_scores for one in found], axis=0),
            np.mean([one.map for one in found], axis=0),
            self.method,
        )

    def _run(self, frames: NDArray[np.uint8], class_indices: Sequence[int], window: int) -> list[Explanation]:
        for class_index in class_indices:
            if not PREDICTED <= class_index < self._classes:
                raise ConfigError(
                    f"Class {class_index} cannot be explained; the model has classes 0 to {self._classes - 1}."
                )
        feeds: dict[str, NDArray[Any]] = {"frames": frames, "class_index": np.array(class_indices, np.int64)}
        if self._noise is not None:
            feeds["noise"] = self._noise(window)
        out = self._graph(feeds)
        return [
            Explanation(*one, self.method) for one in zip(out["logits"], out["frame_scores"], out["map"], strict=True)
        ]


class Classifier(Predictor[Prediction]):
    """The forward graph of a bundle: labels without explanations, where time is short. Class and number of a window are
    of no matter."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        super().__init__(backend.load(bundle.forward(bundle.form(engine_name(backend)))), bundle.contract.input)

    def _mean(self, found: list[Prediction], passes: NDArray[np.uint8], class_index: int, window: int) -> Prediction:
        return Prediction(np.mean([one.logits for one in found], axis=0))

    def _run(self, frames: NDArray[np.uint8], class_indices: Sequence[int], window: int) -> list[Prediction]:
        return list(map(Prediction, self._graph({"frames": frames})["logits"]))


def class_index_of(contract: Contract, target_class: str | None) -> int:
    """What a predictor is asked to explain; None: the class that it predicts."""
    return PREDICTED if target_class is None else contract.classes.index(target_class)


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Class probabilities `[..., C]` from logits `[..., C]`; NaN where these are."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
