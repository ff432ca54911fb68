"""Cameras by script, and what is said of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.clock import SimulatedClock
from stan_edge.errors import SourceConnectError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.predictor import Classifier, Explainer, Explanation, Prediction
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import End, Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame, Reconnecting
from stan_edge.sources.scripted import Show, Step
from stan_edge.sources.scripted_camera import ScriptedCamera

HOP_S = 0.2
UNREACHABLE = SourceConnectError("it cannot be reached; check the cable.")


class Diary(Sink):
    """Everything that is said of one camera."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.latencies_ms: list[float] = []
        self.frames: list[TimelineFrame] = []
        self.explained: list[int] = []
        self.closed = self.discarded = 0

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult):
            self.latencies_ms.append(record.latency_ms)
            record = replace(record, latency_ms=0.0)
        self.records.append(record)

    def window(self, window: Any, result: WindowResult, square: object, explanation: Explanation) -> None:
        self.explained.append(result.window)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self.frames += frames

    def close(self) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.discarded += 1

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    def on_time(self) -> float:
        """Of all windows that were due, the part that was done within a hop."""
        windows = self.of(WindowResult)
        pairs = zip(windows, self.latencies_ms, strict=True)
        return sum(window.valid and ms <= HOP_S * 1e3 for window, ms in pairs) / len(windows)


@pytest.fixture
def room(noisy: Callable[..., np.ndarray]) -> Callable[..., Show]:
    """So many seconds of an empty room (dark), or of a fall (bright)."""
    pictures = {level: list(noisy(64, level, 0, 16, 16)) for level in (60, 190)}

    def show(duration_s: float, level: int = 60, fps: float = 10) -> Show:
        return Show(pictures[level], fps, duration_s)

    return show


class Slow(Explainer):
    """The real explainer after so many seconds of simulated time; one window at a time, as a real engine."""

    def __init__(self, explainer: Any, clock: SimulatedClock, takes_s: float | Callable[[float], float]) -> None:
        self.method = explainer.method
        self.batch_size = 1
        self._explainer, self._clock = explainer, clock
        self._takes_s = takes_s if callable(takes_s) else lambda _: takes_s

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Any:
        self._clock.wait(lambda: False, self._takes_s(self._clock.now_s()))
        return self._explainer(pictures, class_index, window)


class Quick(Explainer):
    """A model that costs nothing: bright windows are `falling`, dark ones `background`, bright frames important."""

    batch_size = 1

    def __init__(self, method: Any = "vanilla") -> None:
        self.method = method

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Explanation:
        level = pictures.reshape(-1, *pictures.shape[-4:]).mean(axis=(0, 2, 3, 4), dtype=np.float64) / 255  # [T]
        logits = np.array([0.5 - level.mean(), level.mean() - 0.5, 0.0, 0.0, 0.0], np.float32) * 40
        return Explanation(
            logits, (level * 1e-3).astype(np.float32), level[:, None, None].astype(np.float32), self.method
        )


class Labels(Classifier):
    """Its labels, after so many seconds."""

    batch_size = 1

    def __init__(self, clock: SimulatedClock, takes_s: Callable[[float], float]) -> None:
        self._clock, self._takes_s = clock, takes_s

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Prediction:
        self._clock.wait(lambda: False, self._takes_s(self._clock.now_s()))
        return Prediction(Quick()(pictures).logits)


@pytest.fixture
def watch(tiny_bundle: Bundle, backend: Backend) -> Callable[..., tuple[list[End], dict[str, Diary]]]:
    """Cameras by their scripts, in simulated time."""

    def run(
        scripts: dict[str, Sequence[Step]],
        *,
        takes_s: Any = 0.0,
        others: dict[str, Sink] | None = None,
        tracker: Callable[[SimulatedClock], Tracker] | None = None,
        **options: Any,
    ) -> Any:
        clock = SimulatedClock(threads=2 * len(scripts))
        diaries = {name: Diary() for name in scripts}
        cameras = []
        for name, steps in scripts.items():
            camera = ScriptedCamera(steps, clock, name=name)
            source = Reconnecting(name, camera.open, wait=True, clock=clock, rng=random.Random(0))
            sinks: list[Sink] = [diaries[name]]
            if others and name in others:
                other = others[name]
                other.clock = clock  # type: ignore[attr-defined]
                sinks.append(other)
            cameras.append(CameraSpec(source, tracker(clock) if tracker else None, sinks))
        explainer = Slow(Quick(), clock, takes_s)
        if "levels" in options:
            options["levels"] = options["levels"](explainer, clock)
        ends = Runtime(tiny_bundle, backend, explainer, clock=clock, **options).watch(cameras)
        return ends, diaries

    return run


class Sluggish(Sink):
    """Takes longer for a frame than there is until the next."""

    clock: SimulatedClock

    def frame(self, frame: Frame, region: object) -> None:
        self.clock.wait(lambda: False, 0.25)
