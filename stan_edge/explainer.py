"""A bundle on a backend: windows of pictures in, class logits, raw frame scores and a space-time map out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.contract import Method
from stan_edge.errors import ConfigError

PREDICTED = -1
"""Class index that asks the graph to explain the class it predicts."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """What one graph run says of one window."""

    logits: NDArray[np.float32]  # [C]
    frame_scores: NDArray[np.float32]  # [T], raw: see `attribution`
    map: NDArray[np.float32]  # [T, h, w], raw and coarse


class Explainer:
    """One attribution method of a bundle, loaded on a backend."""

    def __init__(self, bundle: Bundle, backend: Backend, method: Method) -> None:
        self.method = method
        self._classes = len(bundle.contract.classes)
        self._graph = backend.load(bundle.explain(method))

    def __call__(self, frames: NDArray[np.uint8], class_index: int = PREDICTED) -> Explanation:
        """Explain one window.

        Args:
            frames: `[T, S, S, 3]`, RGB, framed and with the view applied.
            class_index: the class whose logit is explained; the predicted one by default.

        Raises:
            ConfigError: there is no such class (the graph would give zeros without a word).
        """
        if not PREDICTED <= class_index < self._classes:
            raise ConfigError(
                f"Class {class_index} cannot be explained; the model has classes 0 to {self._classes - 1}."
            )
        feeds: dict[str, NDArray[Any]] = {
            "frames": frames[None],
            "class_index": np.array([class_index], np.int64),
        }
        out = self._graph(feeds)
        return Explanation(out["logits"][0], out["frame_scores"][0], out["map"][0])


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Class probabilities `[C]` from logits `[C]`."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max())
    return exponentials / exponentials.sum()
