"""What a run, and each camera of it, is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from stan_edge.backends.base import Backend
from stan_edge.clock import Clock
from stan_edge.journal.writer import Journal
from stan_edge.live.inference_queue import InferenceQueue
from stan_edge.live.load_shedding import ServiceLevel
from stan_edge.model.bundle import Bundle
from stan_edge.person.anonymize import Privacy
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.predictor import Explainer
from stan_edge.sinks.base import Sink
from stan_edge.sources import Feed


@dataclass
class StageTimes:
    """Where the time of each window went, in milliseconds; for `bench`."""

    region_ms: list[float]
    view_ms: list[float]
    queue_ms: list[float]
    """Waiting for the engine, which other cameras have; part of `explain_ms`."""
    explain_ms: list[float]
    conclude_ms: list[float]

    @classmethod
    def empty(cls) -> StageTimes:
        return cls([], [], [], [], [])


class Stopwatch:
    """Measures one stage after the other, where anybody wants to know."""

    def __init__(self, stages: StageTimes | None) -> None:
        self._stages = stages
        self._since_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        """A stage of `StageTimes` has ended, and the next one begins."""
        now_s = time.perf_counter()
        self.note(stage, (now_s - self._since_s) * 1e3)
        self._since_s = now_s

    def note(self, stage: str, took_ms: float) -> None:
        """What a stage took by another measure."""
        if self._stages is not None:
            getattr(self._stages, f"{stage}_ms").append(took_ms)


@dataclass(frozen=True, eq=False)
class CameraSpec:
    """A camera as a run gets it."""

    source: Feed
    tracker: Tracker | None = None
    """Finds the person; None takes the whole frame."""
    sinks: Sequence[Sink] = ()
    stages: StageTimes | None = None
    """Receives the time of each stage when given."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """What all cameras of a run share."""

    bundle: Bundle
    backend: Backend
    explainer: Explainer
    levels: Sequence[ServiceLevel]
    """At least one; dearest first."""
    hop_s: float
    target_class: str | None
    journal: Journal | None
    privacy: Privacy
    stop: threading.Event
    clock: Clock
    queue: InferenceQueue = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "queue", InferenceQueue(self.clock))
