"""Inference alone, on the windows that a bundle carries: what other benchmarks call latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_bench.resources import ResourceWatch
from stan_bench.result import Measured
from stan_edge.backends.base import Backend, Placement, Placing, engine_name
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.predictor import PREDICTED, Explainer
from stan_edge.pipeline.smoothgrad import StreamNoise, noise

WARM_UP_RUNS = 5

Run = Callable[[], object]


def recorded_windows(bundle: Bundle) -> NDArray[np.uint8]:
    """The windows of the parity recordings, `[N, T, S, S, 3]`; of several passes each is one."""
    with np.load(bundle.parity) as recorded:
        frames: NDArray[np.uint8] = recorded["frames"]
    return frames.reshape(-1, *frames.shape[-4:])


def feeds(bundle: Bundle, method: Method, window: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Inputs of a method's graph for one window `[T, S, S, 3]`."""
    samples = bundle.contract.methods[method].samples
    plain: dict[str, NDArray[Any]] = {"frames": window[None], "class_index": np.array([PREDICTED], np.int64)}
    if method == "streaming":
        return plain | {"noise": StreamNoise(bundle.contract.input)(0)}
    return plain if samples is None else plain | {"noise": noise(bundle.contract.input, samples)}


def measure_pure(bundle: Bundle, backend: Backend, explainer: Explainer, *, rounds: int) -> Measured:
    """Time the forward graph and the explanation in turn on every recorded window, `rounds` times."""
    forward = backend.load(bundle.forward(bundle.form(engine_name(backend))))
    windows = recorded_windows(bundle)
    resources = ResourceWatch()
    warm_up = alternate(runs(forward, explainer, windows[0]), WARM_UP_RUNS)
    steady: dict[str, list[float]] = {}
    started_s = time.monotonic()
    with resources.measuring():
        for _ in range(rounds):
            for window in windows:
                for stage, spent_ms in alternate(runs(forward, explainer, window), 1).items():
                    steady.setdefault(stage, []).extend(spent_ms)
    return Measured(steady, warm_up, resources.resources(), time.monotonic() - started_s)


def alternate(
    runs: Mapping[str, Run], times: int, pause_s: float = 0.0, order: np.random.Generator | None = None
) -> dict[str, list[float]]:
    """Milliseconds of each of several runs, one after the other, `times` over.

    Args:
        pause_s: before each, where the threads of the one before would spin on for a while, at the cost of the next.
        order: shuffles the runs anew each time, so that none always follows the same one.
    """
    spent_ms: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(times):
        names = list(runs) if order is None else order.permutation(list(runs))
        for name in names:
            time.sleep(pause_s)
            started_s = time.perf_counter()
            runs[name]()
            spent_ms[name].append((time.perf_counter() - started_s) * 1e3)
    return spent_ms


def placement(bundle: Bundle, backend: Backend, method: Method) -> Placement | None:
    """Where the nodes of a method's graph run; None: the backend cannot say."""
    if not isinstance(backend, Placing):
        return None
    graph = bundle.explain(method, bundle.form(engine_name(backend)))
    return backend.placement(graph, feeds(bundle, method, recorded_windows(bundle)[0]))


def runs(forward: Callable[..., Any], explainer: Explainer, window: NDArray[np.uint8]) -> dict[str, Run]:
    return {"forward": lambda: forward({"frames": window[None]}), "explain": lambda: explainer(window)}
