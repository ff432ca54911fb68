"""Where windows of all cameras wait for the one engine: in turn, and several in one graph run where it takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.pipeline.predictor import Prediction, Predictor

_WAIT_S = 60.0
"""A thread that waits is woken when the engine is free; this is only a limit that the clock needs."""


@dataclass(eq=False)
class Request:
    """One window that is to go through the engine."""

    predictor: Predictor[Prediction]
    pictures: NDArray[np.uint8]
    class_index: int
    window: int
    alone: bool
    """Never in a graph run with others: these may round differently, and a recording gives the same to the bit."""
    on_start: Callable[[], None] = lambda: None
    """Is called when its run begins, by whichever thread runs it."""
    prediction: Prediction | None = None
    error: BaseException | None = None


class InferenceQueue:
    """Lets one thread at a time run the engine: an engine's request holds the memory of one run.

    There is no thread of its own. Whoever finds the engine free runs what has waited longest, its own or another's,
    until its own is done. A camera has one window here at most, so that none waits for more than one of each other
    camera, however many these are behind with.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._busy = False

    def run(self, request: Request) -> Prediction:
        """Wait for the engine and run a window through it; whatever that raises is raised here."""
        with self._lock:
            self._waiting.append(request)
        while request.prediction is None:
            if request.error is not None:
                raise request.error
            batch = self._claim()
            if batch:
                self._serve(batch)
            else:
                self._clock.wait(lambda: self._is_settled(request), _WAIT_S)
        return request.prediction

    def _is_settled(self, request: Request) -> bool:
        return request.prediction is not None or request.error is not None or not self._busy

    def _claim(self) -> list[Request]:
        """What goes through the engine now, by whoever calls; nothing while another one has it."""
        with self._lock:
            if self._busy or not self._waiting:
                return []
            first = self._waiting[0]
            batch = [first]
            together = [other for other in self._waiting if other.predictor is first.predictor and not other.alone]
            if len(together) > 1 and not first.alone:
                batch = together[: first.predictor.batch_size]
            self._waiting = [request for request in self._waiting if request not in batch]
            self._busy = True
            return batch

    def _serve(self, batch: list[Request]) -> None:
        try:
            for request in batch:
                request.on_start()
            for request, prediction in zip(batch, _run(batch), strict=True):
                request.prediction = prediction
        except BaseException as error:
            for request in batch:
                request.error = error  # raised in the thread of each
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._busy = False
            self._clock.notify()


def _run(batch: list[Request]) -> list[Prediction]:
    first = batch[0]
    if len(batch) == 1:
        return [first.predictor(first.pictures, first.class_index, first.window)]
    pictures, classes, windows = zip(*((one.pictures, one.class_index, one.window) for one in batch), strict=True)
    return list(first.predictor.batch(pictures, classes, windows))
