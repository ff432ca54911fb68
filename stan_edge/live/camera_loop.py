"""One camera of a run: from its source to its sinks. Everything that cameras have apart is here; they meet at the
engine (`lane`) and in the journal."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stan_edge.backends.base import Backend
from stan_edge.clock import Clock
from stan_edge.errors import StanEdgeError
from stan_edge.journal.writer import Journal
from stan_edge.live.inference_queue import InferenceQueue, Request
from stan_edge.live.load_shedding import LoadShedder, Predictor, ServiceLevel
from stan_edge.model.bundle import Bundle
from stan_edge.person.anonymize import Privacy, anonymize
from stan_edge.person.tracking import Tracker
from stan_edge.pipeline.pipeline import Pipeline
from stan_edge.pipeline.predictor import PREDICTED, Explainer, Explanation, Prediction
from stan_edge.pipeline.windows import Window
from stan_edge.records import End, Event, Load, Record, Start, Status
from stan_edge.sinks.base import Sink
from stan_edge.sources import CroppedSource, Feed, Frame, Reader, Reconnecting
from stan_edge.types import Square

MAX_READ_AHEAD_FRAMES = 120
"""A live reader keeps at most this much, and `MAX_BYTES`; what inference cannot follow is dropped and counted."""
POLL_S = 0.2
"""How often a quiet live source is interrupted to see whether the user wants to stop, and whether events end."""


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
    rungs: Sequence[ServiceLevel]
    hop_s: float
    target_class: str | None
    journal: Journal | None
    privacy: Privacy
    stop: threading.Event
    clock: Clock
    lane: InferenceQueue = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lane", InferenceQueue(self.clock))


class CameraLoop:
    """Runs one camera until its source ends or `stop` is set.

    Args:
        alone: there is no other camera: without a first frame there is nothing to record, and the error is raised.
    """

    def __init__(self, setup: RunContext, camera: CameraSpec, *, alone: bool) -> None:
        self._setup = setup
        self._source = camera.source
        self._tracker = camera.tracker
        self._sinks = camera.sinks
        self._stages = camera.stages
        self._alone = alone
        contract = setup.bundle.contract
        self._class_index = PREDICTED if setup.target_class is None else contract.classes.index(setup.target_class)
        method, live = setup.explainer.method, camera.source.live
        self._stream = Pipeline(
            camera.source.name, contract, method, setup.hop_s, camera.tracker, live, setup.target_class
        )
        # a recording waits, and everything is done for it
        rungs = setup.rungs if live else setup.rungs[:1]
        self._ladder = LoadShedder(
            [rung for rung in rungs if camera.tracker or rung.level != "half_rate_detection"], setup.hop_s
        )
        self._run_id = ""
        self._damaged = self._slow_before = 0

    def run(self) -> End:
        """Process the source to its end; see `Runtime.watch`. Without an error, the sinks are closed."""
        source, clock = self._source, self._setup.clock
        reader = Reader(source, MAX_READ_AHEAD_FRAMES, clock=clock) if source.live else None
        try:
            return self._run(reader)
        except BaseException:
            for sink in self._sinks:
                sink.discard()
            raise
        finally:
            (reader or source).close()

    def _run(self, reader: Reader | None) -> End:
        failure: StanEdgeError | None = None
        started = silent = False
        frames = 0
        while not self._setup.stop.is_set():
            dropped = self._dropped(reader)
            for sink in self._sinks:
                sink.turn(dropped)
            try:
                item = reader.get(POLL_S) if reader else self._source.read()
                # the second `get` raises if the source has failed since the first one gave up
                if item is None and (reader is None or (reader.ended and (item := reader.get(0)) is None)):
                    break
            except StanEdgeError as error:
                if frames == 0 and self._alone:
                    raise
                failure = error
                break
            anchor_s = reader.anchor_s if reader else None
            if item is None:
                if silent and anchor_s is not None:
                    for event in self._stream.tick(self._setup.clock.now_s() - anchor_s):
                        self._record(event)
                continue
            if not started:
                self._record(self._start(item))
                started = True
            if isinstance(item, Status):
                silent = item.state != "online"
                self._record(item)
                continue
            frames += 1
            self._damaged += item.damaged
            arrived_s = self._setup.clock.now_s() if anchor_s is None else anchor_s + item.t_capture_s
            self._feed(item, arrived_s, reader)
        if not started:
            self._record(self._start(None))
        self._finish()
        end = End(
            camera=self._source.name,
            reason=str(failure) if failure else "stopped" if self._setup.stop.is_set() else "end_of_stream",
            frames=frames,
            windows=self._stream.counts,
            dropped=self._dropped(reader),
            failed=failure is not None,
        )
        self._record(end)
        for sink in self._sinks:
            sink.close()
        return end

    def _finish(self) -> None:
        for window in self._stream.finish_windows():
            self._window(window, self._setup.clock.now_s(), self._setup.explainer)
        final, events = self._stream.finish()
        for sink in self._sinks:
            sink.timeline(final)
        for event in events:
            self._record(event)

    def _feed(self, frame: Frame, arrived_s: float, reader: Reader | None) -> None:
        t0 = time.perf_counter()
        region, windows = self._stream.feed(frame, self._ladder.rung.detection_hz)
        if self._stages:
            self._stages.region_ms.append((time.perf_counter() - t0) * 1e3)
        shown = replace(frame, image=anonymize(frame.image, region, self._setup.privacy))
        for sink in self._sinks:
            sink.frame(shown, region)
        for window in windows:
            if reader is None:
                self._window(window, arrived_s, self._setup.explainer)
            else:
                self._live_window(window, arrived_s, reader)

    def _live_window(self, window: Window, arrived_s: float, reader: Reader) -> None:
        clock, hop_s = self._setup.clock, self._setup.hop_s
        way = self._ladder.rung.way(window.number)
        # a window that is already a hop late is shed: the next one is due and shows the same frames
        self._window(window, arrived_s, way if clock.now_s() - arrived_s <= hop_s else None)
        if window.breaks:
            self._ladder.rest()
            return
        # frames that were lost, because nobody took them, are as late as can be
        lost, self._slow_before = reader.dropped - self._slow_before, reader.dropped
        if lost or (way is not None and window.reason is None):
            now_s = clock.now_s()
            why = self._ladder.note(math.inf if lost else now_s - arrived_s, now_s)
            if why is not None:
                rung = self._ladder.rung
                method = None if rung.explainer is None else rung.explainer.method
                self._record(Load(self._source.name, rung.level, method, why, window.t_end_s))

    def _window(self, window: Window, arrived_s: float, way: Predictor | None) -> None:
        verdict: Prediction | None = None
        if window.reason is None and way is not None:
            verdict, square = self._ask(window, way)
        t0 = time.perf_counter()
        method = way.method if isinstance(verdict, Explanation) and isinstance(way, Explainer) else None
        step = self._stream.conclude(window, verdict, (self._setup.clock.now_s() - arrived_s) * 1e3, method)
        self._record(step.result)
        if isinstance(verdict, Explanation):
            bare = window.without_pictures()
            for sink in self._sinks:
                sink.window(bare, step.result, square, verdict)
        for sink in self._sinks:
            sink.timeline(step.final)
        for event in step.events:
            self._record(event)
        if self._stages:
            self._stages.conclude_ms.append((time.perf_counter() - t0) * 1e3)

    def _ask(self, window: Window, way: Predictor) -> tuple[Prediction, Square]:
        t0 = time.perf_counter()
        pictures, square = self._stream.network_input(window)
        t1 = time.perf_counter()
        request = Request(way, pictures, self._class_index, window.number, alone=not self._source.live)
        verdict = self._setup.lane.run(request)
        if self._stages:
            self._stages.view_ms.append((t1 - t0) * 1e3)
            self._stages.queue_ms.append(request.waited_ms)
            self._stages.explain_ms.append((time.perf_counter() - t1) * 1e3)
        return verdict, square

    def _record(self, record: Record) -> None:
        if isinstance(record, Event):
            record = replace(record, id=f"{self._run_id}-{record.event}")
        if self._setup.journal is not None:
            self._setup.journal.record(record)
        for sink in self._sinks:
            sink.record(record)

    def _start(self, first: Frame | Status | None) -> Start:
        setup, source = self._setup, self._source
        contract, method = setup.bundle.contract, setup.explainer.method
        start = Start(
            camera=source.name,
            model=contract.name,
            model_digest=setup.bundle.digest,
            backend=setup.backend.name,
            precision=setup.backend.precision,
            fallback=setup.backend.fallback,
            method=method,
            view=contract.input.view,
            calibrated=contract.methods[method].scale is not None,
            run="",
            live=source.live,
            hop_s=setup.hop_s,
            target_class=setup.target_class,
            crop=str(source.crop) if isinstance(source, CroppedSource | Reconnecting) and source.crop else None,
            person=self._tracker is not None,
        )
        self._run_id = uuid.uuid4().hex if source.live else _recording_id(start, first)
        return replace(start, run=self._run_id)

    def _dropped(self, reader: Reader | None) -> dict[str, int]:
        """Frames that were lost so far, by cause."""
        lost = {"damaged": self._damaged}
        if reader is not None:
            lost |= {"slow": reader.dropped, "duplicate": reader.duplicates}
        return {cause: count for cause, count in lost.items() if count}


def _recording_id(start: Start, first: Frame | Status | None) -> str:
    """The same whenever a recording is run in the same way: who goes by the ids of events takes each once."""
    digest = hashlib.sha256(json.dumps(start.to_json()).encode())
    if isinstance(first, Frame):
        digest.update(first.image.tobytes())
    return digest.hexdigest()[:32]
