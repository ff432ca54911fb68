"""The way to the engine: in turn, one run at a time, several windows in one where the graph takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.live.inference_queue import InferenceQueue, Request
from stan_edge.pipeline.predictor import Explainer, Explanation


class Engine(Explainer):
    """Says back which window it was given, and notes which it was given together."""

    def __init__(self, batch_size: int = 1, error: Exception | None = None) -> None:
        self.method = "vanilla"
        self.batch_size = batch_size
        self.runs: list[list[int]] = []
        self.free = threading.Event()
        self._error = error
        self._inside = threading.Lock()

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Explanation:
        return self.batch([pictures], [class_index], [window])[0]

    def batch(self, pictures: Sequence[Any], class_indices: Sequence[int], windows: Sequence[int]) -> list[Explanation]:
        assert self._inside.acquire(blocking=False), "two runs at once"
        self.runs.append(list(windows))
        assert self.free.wait(20)
        self._inside.release()
        if self._error:
            raise self._error
        return [Explanation(np.array([window], np.float32), np.zeros(1), np.zeros(1), "vanilla") for window in windows]


class Cameras:
    """Ask in this order, each in a thread of its own; the first one has the engine until all of them have asked."""

    def __init__(self, engine: Engine, requests: Sequence[Request]) -> None:
        queue = InferenceQueue()
        self.answers: dict[int, Any] = {}

        def ask(request: Request) -> None:
            try:
                self.answers[request.window] = queue.run(request).logits[0]
            except ConfigError as error:
                self.answers[request.window] = error

        threads = [threading.Thread(target=ask, args=[request]) for request in requests]
        for number, thread in enumerate(threads):
            thread.start()
            until_s = time.monotonic() + 20
            while (len(queue._waiting) < number or not engine.runs) and time.monotonic() < until_s:
                time.sleep(0.001)
        engine.free.set()
        for thread in threads:
            thread.join(20)


def request(engine: Engine, window: int, *, alone: bool = False) -> Request:
    return Request(engine, np.zeros(1, np.uint8), -1, window, alone)


def test_windows_go_through_the_engine_in_the_order_in_which_they_were_asked_for() -> None:
    engine = Engine()
    asked = [request(engine, window) for window in (3, 1, 4, 0, 5)]
    started: list[int] = []
    for one in asked:
        one.on_start = partial(started.append, one.window)
    found = Cameras(engine, asked)
    assert engine.runs == [[3], [1], [4], [0], [5]]
    assert found.answers == {window: window for window in (3, 1, 4, 0, 5)}
    assert started == [3, 1, 4, 0, 5]


@pytest.mark.parametrize(("size", "runs"), [(8, [[0], [1, 2, 3, 4]]), (3, [[0], [1, 2, 3], [4]])])
def test_what_waits_together_goes_in_one_run_where_the_graph_takes_it(size: int, runs: list[list[int]]) -> None:
    engine = Engine(batch_size=size)
    found = Cameras(engine, [request(engine, window) for window in range(5)])
    assert engine.runs == runs
    assert found.answers == {window: window for window in range(5)}


def test_windows_of_recordings_never_share_a_run() -> None:
    engine = Engine(batch_size=8)
    Cameras(engine, [request(engine, window, alone=window in (0, 2)) for window in range(5)])
    assert engine.runs == [[0], [1, 3, 4], [2]]


def test_windows_that_go_other_ways_never_share_a_run() -> None:
    engine, other = Engine(batch_size=8), Engine(batch_size=8)
    other.free.set()
    Cameras(engine, [request(engine, 0), request(engine, 1), request(other, 2), request(engine, 3)])
    assert (engine.runs, other.runs) == ([[0], [1, 3]], [[2]])


def test_what_the_engine_raises_is_raised_for_each_window_of_the_run() -> None:
    engine = Engine(batch_size=8, error=ConfigError("no."))
    found = Cameras(engine, [request(engine, window) for window in range(3)])
    assert engine.runs == [[0], [1, 2]]
    assert [str(found.answers[window]) for window in range(3)] == ["no."] * 3
