"""What a run, and each camera of it, is given."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stan_edge.backends.base import Backend
from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.journal.writer import Journal
from stan_edge.live.inference_queue import InferenceQueue
from stan_edge.live.load_shedding import ServiceLevel
from stan_edge.model.bundle import Bundle
from stan_edge.person.anonymize import Privacy
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.predictor import Explainer
from stan_edge.sinks.base import Sink
from stan_edge.sources import Feed

Stage = Literal["region", "view", "queue", "explain", "conclude"]


@dataclass(frozen=True, eq=False)
class CameraSpec:
    """A camera as a run gets it."""

    source: Feed
    tracker: Tracker | None = None
    """Finds the person; None takes the whole frame."""
    sinks: Sequence[Sink] = ()
    """Are called by the camera's thread."""
    on_stage: Callable[[Stage | None], None] = lambda stage: None
    """Is called when a stage of a frame (`region`) or window has ended, and with None before the first one. `queue`,
    the wait for the engine, is the first part of `explain`; another camera's thread may be the one that ends it."""


@dataclass(frozen=True, eq=False)
class RunContext:
    """What all cameras of a run share."""

    bundle: Bundle
    backend: Backend
    explainer: Explainer
    hop_s: float | None = None
    """Distance between windows; None: the model's."""
    target_class: str | None = None
    """The class that every window explains; None: its own label."""
    journal: Journal | None = None
    """Gets every record before any sink, and an alarm is on disk when it returns. It is no sink, so that it cannot come
    after one."""
    privacy: Privacy = "none"
    """What sinks get to see of the person; the model sees everything."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends the run when it is set."""
    clock: Clock = SYSTEM_CLOCK
    """What a live source and its delays are measured by."""
    levels: Sequence[ServiceLevel] = ()
    """What is done for a live camera by how late its windows are, all of it first (see `load_shedding.service_levels`);
    without any, nothing is left out but windows."""
    queue: InferenceQueue = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "queue", InferenceQueue(self.clock))
