"""Cameras, one model, and sinks: a thread for each camera, and one engine that they take turns at."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from stan_edge.backends.base import Backend
from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.errors import ConfigError
from stan_edge.files import plain_name
from stan_edge.journal.writer import Journal
from stan_edge.live.camera_loop import POLL_S, CameraLoop
from stan_edge.live.context import CameraSpec, RunContext, StageTimes
from stan_edge.live.load_shedding import ServiceLevel
from stan_edge.model.bundle import Bundle
from stan_edge.person.anonymize import Privacy
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End
from stan_edge.sinks.base import Sink
from stan_edge.sources import Feed

__all__ = ["CameraSpec", "Runtime", "StageTimes", "refuse_same_names"]


class Runtime:
    """Runs cameras, or recordings, through one model until each has ended or `stop` is set.

    A camera has a thread of its own for all that is its own: person search (19 ms a detection, ten times a second, and
    MediaPipe lets other threads run meanwhile), pictures, sinks. So one that is slow, dead or hangs holds up nobody;
    they meet at the engine only, where they take turns.

    Args:
        sinks: those of `run`.
        target_class: the class that every window explains; None: its own label.
        journal: gets every record before any sink, and an alarm is on disk when it returns. It is no sink, so
            that it cannot come after one.
        privacy: what sinks get to see of the person; the model sees everything.
        clock: what a live source and its delays are measured by.
        stages: receives the time of each stage of `run` when given.
        rungs: what is left out for a camera while its windows are late, dearest first, `explainer`'s the first; by
            default nothing is but windows. See `load_shedding.service_levels`.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        explainer: Explainer,
        sinks: Sequence[Sink] = (),
        *,
        hop_s: float | None = None,
        target_class: str | None = None,
        journal: Journal | None = None,
        privacy: Privacy = "none",
        stop: threading.Event | None = None,
        clock: Clock = SYSTEM_CLOCK,
        stages: StageTimes | None = None,
        rungs: Sequence[ServiceLevel] = (),
    ) -> None:
        self._sinks = sinks
        self._stages = stages
        self._context = RunContext(
            bundle=bundle,
            backend=backend,
            explainer=explainer,
            levels=rungs or [ServiceLevel("full", explainer)],
            hop_s=bundle.contract.hop_s if hop_s is None else hop_s,
            target_class=target_class,
            journal=journal,
            privacy=privacy,
            stop=stop or threading.Event(),
            clock=clock,
        )

    def run(self, source: Feed, tracker: Tracker | None) -> End:
        """Process one source to its end.

        Args:
            tracker: finds the person; None takes the whole frame.

        Raises:
            StanEdgeError: see `watch`.
        """
        return self.watch([CameraSpec(source, tracker, self._sinks, self._stages)])[0]

    def watch(self, cameras: Sequence[CameraSpec]) -> list[End]:
        """Process each source to its end. What was taken from it is finished and written, also on `stop` and when
        the source fails on the way (then `failed` is set, and the others go on). The sources are closed.

        Each camera's sinks are called by its own thread, the first one's by the caller's.

        Raises:
            ConfigError: two cameras have the same name.
            StanEdgeError: the only source gave no frame at all and nothing has been written, or a sink cannot write:
                then the other cameras end as on `stop`.
        """
        refuse_same_names([camera.source.name for camera in cameras])
        threads = [
            _Thread(CameraLoop(self._context, camera, alone=len(cameras) == 1), self._context) for camera in cameras
        ]
        first, *others = threads
        for other in others:
            other.start()
        first.run()
        try:
            while not all(other.done for other in others):
                self._context.clock.wait(lambda: all(other.done for other in others), POLL_S)
        finally:  # Ctrl-C
            if not all(other.done for other in others):
                self._context.stop.set()
            for other in others:
                other.join()
        for thread in threads:
            if thread.error is not None:
                raise thread.error
        return [thread.end for thread in threads if thread.end is not None]


class _Thread(threading.Thread):
    """Runs one camera's loop. An error stops the other cameras, too, and is kept for the caller of `watch`."""

    def __init__(self, loop: CameraLoop, context: RunContext) -> None:
        super().__init__(name="camera")
        self._loop = loop
        self._context = context
        self.end: End | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self.end is not None or self.error is not None

    def run(self) -> None:
        try:
            self.end = self._loop.run()
        except BaseException as error:
            self._context.stop.set()
            self.error = error
        self._context.clock.notify()


def refuse_same_names(names: Sequence[str]) -> None:
    """Records, topics and files go by the names of cameras.

    Raises:
        ConfigError: two cameras have the same, or one that is the same as a topic and a file.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.get(plain_name(name))
        if other is not None:
            raise ConfigError(
                f"Two cameras have one name ({other!r}, {name!r}); give each its own, by --name or in its [[camera]]."
            )
        known[plain_name(name)] = name
