"""A bundle on a backend: windows of pictures in, class logits, raw frame scores and a space-time map out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.contract import Method
from stan_edge.errors import ConfigError
from stan_edge.smoothgrad import StreamNoise, noise

PREDICTED = -1
"""Class index that asks the graph to explain the class it predicts."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the model says of one window: one graph run, or the mean of one run for each pass."""

    logits: NDArray[np.float32]  # [C]


@dataclass(frozen=True, eq=False)
class Explanation(Verdict):
    """And why."""

    frame_scores: NDArray[np.float32]  # [T], raw: see `attribution`
    map: NDArray[np.float32]  # [T, h, w], raw and coarse


class Explainer:
    """One attribution method of a bundle, loaded on a backend."""

    def __init__(self, bundle: Bundle, backend: Backend, method: Method) -> None:
        graph = bundle.explain(method)
        spec = bundle.contract.methods[method]
        self.method = method
        self.batch_size = 1  # windows that the graph takes in one run
        self._classes = len(bundle.contract.classes)
        self._class_specific = spec.class_specific
        self._noise: Callable[[int], NDArray[np.float32]] | None = None
        if method == "streaming":
            self._noise = StreamNoise(bundle.contract.input)
        elif spec.samples is not None:
            same = noise(bundle.contract.input, spec.samples)
            self._noise = lambda _window: same
        self._graph = backend.load(graph)

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
        if not PREDICTED <= class_index < self._classes:
            raise ConfigError(
                f"Class {class_index} cannot be explained; the model has classes 0 to {self._classes - 1}."
            )
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
        """Explain several windows, at best in one graph run; each as if it were alone.

        Args:
            pictures: one array for each window, as a call takes it.
            class_indices: the class to explain, by window.
            windows: their numbers, each in its own stream.

        Raises:
            ConfigError: one of the classes does not exist.
        """
        # one run for all of them goes here, once the graph's batch is not one window
        return [self(*window) for window in zip(pictures, class_indices, windows, strict=True)]

    def _run(self, frames: NDArray[np.uint8], class_index: int, window: int) -> Explanation:
        feeds: dict[str, NDArray[Any]] = {
            "frames": frames[None],
            "class_index": np.array([class_index], np.int64),
        }
        if self._noise is not None:
            feeds["noise"] = self._noise(window)
        out = self._graph(feeds)
        return Explanation(out["logits"][0], out["frame_scores"][0], out["map"][0])


class Labeller:
    """The forward graph of a bundle on a backend: labels without explanations, where time is short."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self.batch_size = 1
        self._graph = backend.load(bundle.forward)

    def __call__(self, pictures: NDArray[np.uint8], class_index: int = PREDICTED, window: int = 0) -> Verdict:
        """Label one window: one graph run for each pass.

        Args:
            pictures: as an `Explainer` takes them.
            class_index: not needed, as nothing is explained.
            window: likewise.
        """
        passes = pictures[None] if pictures.ndim == 4 else pictures
        return Verdict(np.mean([self._graph({"frames": frames[None]})["logits"][0] for frames in passes], axis=0))

    def batch(
        self, pictures: Sequence[NDArray[np.uint8]], class_indices: Sequence[int], windows: Sequence[int]
    ) -> list[Verdict]:
        """Label several windows; see `Explainer.batch`."""
        return [self(*window) for window in zip(pictures, class_indices, windows, strict=True)]


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Class probabilities `[..., C]` from logits `[..., C]`; NaN where these are."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
