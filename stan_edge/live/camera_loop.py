"""One camera of a run: from its source to its sinks. Cameras share the inference queue and the journal only."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import StanEdgeError
from stan_edge.live.context import CameraSpec, RunContext
from stan_edge.live.inference_queue import Request
from stan_edge.live.load_shedding import LoadShedder, ServiceLevel
from stan_edge.person.anonymize import anonymize
from stan_edge.pipeline.pipeline import Pipeline
from stan_edge.pipeline.predictor import Prediction, Predictor
from stan_edge.pipeline.windows import Window
from stan_edge.records import End, Event, Load, Record, Start, Status
from stan_edge.sources import CroppedSource, Frame, Reader, Reconnecting

MAX_READ_AHEAD_FRAMES = 120
"""A live reader keeps at most this much, and `MAX_BYTES`; what inference cannot follow is dropped and counted."""
POLL_S = 0.2
"""How often a quiet live source is interrupted to see whether the user wants to stop, and whether events end."""


class CameraLoop:
    """Runs one camera until its source ends or `stop` is set.

    Args:
        alone: there is no other camera: without a first frame there is nothing to record, and the error is raised.
    """

    def __init__(self, context: RunContext, camera: CameraSpec, *, alone: bool) -> None:
        self._context = context
        self._source = camera.source
        self._has_tracker = camera.tracker is not None
        self._sinks = camera.sinks
        self._on_stage = camera.on_stage
        self._alone = alone
        self._hop_s = context.bundle.contract.hop_s if context.hop_s is None else context.hop_s
        live = camera.source.live
        self._pipeline = Pipeline(
            camera.source.name,
            context.bundle.contract,
            context.explainer,
            self._hop_s,
            camera.tracker,
            live=live,
            target_class=context.target_class,
        )
        # a recording waits, and everything is done for it
        levels = (live and context.levels) or [ServiceLevel("full", context.explainer)]
        self._shedder = LoadShedder(levels, self._hop_s, has_tracker=self._has_tracker)
        self._reader: Reader | None = None
        """Of a live source; while it runs."""
        self._run_id = ""
        self._damaged = self._slow_before = 0

    def run(self) -> End:
        """Process the source to its end; see `Runtime.watch`. Without an error, the sinks are closed."""
        if self._source.live:
            self._reader = Reader(self._source, MAX_READ_AHEAD_FRAMES, clock=self._context.clock)
        try:
            return self._run()
        except BaseException:
            for sink in self._sinks:
                sink.discard()
            raise
        finally:
            (self._reader or self._source).close()

    def _run(self) -> End:
        reader = self._reader
        failure: StanEdgeError | None = None
        started = silent = False
        frames = 0
        while not self._context.stop.is_set():
            dropped = self._dropped()
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
                    for event in self._pipeline.interpreter.tick(self._context.clock.now_s() - anchor_s):
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
            arrived_s = self._context.clock.now_s() if anchor_s is None else anchor_s + item.t_capture_s
            self._feed(item, arrived_s)
        if not started:
            self._record(self._start(None))
        self._finish()
        end = End(
            camera=self._source.name,
            reason=str(failure) if failure else "stopped" if self._context.stop.is_set() else "end_of_stream",
            frames=frames,
            windows=self._pipeline.counts,
            dropped=self._dropped(),
            failed=failure is not None,
        )
        self._record(end)
        for sink in self._sinks:
            sink.close()
        return end

    def _finish(self) -> None:
        for window in self._pipeline.inputs.finish():
            self._window(window, self._context.clock.now_s(), self._context.explainer)
        final, events = self._pipeline.interpreter.finish()
        for sink in self._sinks:
            sink.timeline(final)
        for event in events:
            self._record(event)

    def _feed(self, frame: Frame, arrived_s: float) -> None:
        self._on_stage(None)
        region, windows = self._pipeline.inputs.take(frame, self._shedder.current.detection_hz)
        self._on_stage("region")
        shown = replace(frame, image=anonymize(frame.image, region, self._context.privacy))
        for sink in self._sinks:
            sink.frame(shown, region)
        for window in windows:
            if self._reader is None:
                self._window(window, arrived_s, self._context.explainer)
            else:
                self._live_window(window, arrived_s, self._reader)

    def _live_window(self, window: Window, arrived_s: float, reader: Reader) -> None:
        clock = self._context.clock
        predictor = self._shedder.current.predictor(window.number)
        # a window that is already a hop late is shed: the next one is due and shows the same frames
        self._window(window, arrived_s, predictor if clock.now_s() - arrived_s <= self._hop_s else None)
        if window.breaks:
            self._shedder.rest()
            return
        # frames that were lost, because nobody took them, are as late as can be
        lost, self._slow_before = reader.dropped - self._slow_before, reader.dropped
        if lost or (predictor is not None and window.reason is None):
            now_s = clock.now_s()
            reason = self._shedder.note(math.inf if lost else now_s - arrived_s, now_s)
            if reason is not None:
                current = self._shedder.current
                method = None if current.explainer is None else current.explainer.method
                self._record(Load(self._source.name, current.level, method, reason, window.t_end_s))

    def _window(self, window: Window, arrived_s: float, predictor: Predictor[Prediction] | None) -> None:
        """Bring a window to its end; without a predictor it is shed."""
        self._on_stage(None)
        predict = None if predictor is None else partial(self._predict, predictor, window.number)
        outcome = self._pipeline.process(window, predict, lambda: (self._context.clock.now_s() - arrived_s) * 1e3)
        self._record(outcome.result)
        if outcome.explanation is not None and outcome.square is not None:
            without_pictures = window.without_pictures()
            for sink in self._sinks:
                sink.window(without_pictures, outcome.result, outcome.square, outcome.explanation)
        for sink in self._sinks:
            sink.timeline(outcome.final)
        for event in outcome.events:
            self._record(event)
        self._on_stage("conclude")

    def _predict(self, predictor: Predictor[Prediction], window: int, pictures: NDArray[np.uint8]) -> Prediction:
        self._on_stage("view")
        alone, on_start = not self._source.live, partial(self._on_stage, "queue")
        request = Request(predictor, pictures, self._pipeline.class_index, window, alone, on_start)
        prediction = self._context.queue.run(request)
        self._on_stage("explain")
        return prediction

    def _record(self, record: Record) -> None:
        if isinstance(record, Event):
            record = replace(record, id=f"{self._run_id}-{record.event}")
        if self._context.journal is not None:
            self._context.journal.record(record)
        for sink in self._sinks:
            sink.record(record)

    def _start(self, first: Frame | Status | None) -> Start:
        context, source = self._context, self._source
        contract, method = context.bundle.contract, context.explainer.method
        start = Start(
            camera=source.name,
            model=contract.name,
            model_digest=context.bundle.digest,
            backend=context.backend.name,
            precision=context.backend.precision,
            fallback=context.backend.fallback,
            method=method,
            view=contract.input.view,
            calibrated=contract.methods[method].scale is not None,
            run="",
            live=source.live,
            hop_s=self._hop_s,
            target_class=context.target_class,
            crop=str(source.crop) if isinstance(source, CroppedSource | Reconnecting) and source.crop else None,
            person=self._has_tracker,
        )
        self._run_id = uuid.uuid4().hex if source.live else _recording_id(start, first)
        return replace(start, run=self._run_id)

    def _dropped(self) -> dict[str, int]:
        """Frames that were lost so far, by cause."""
        lost = {"damaged": self._damaged}
        if self._reader is not None:
            lost |= {"slow": self._reader.dropped, "duplicate": self._reader.duplicates}
        return {cause: count for cause, count in lost.items() if count}


def _recording_id(start: Start, first: Frame | Status | None) -> str:
    """The same whenever a recording is run in the same way: who goes by the ids of events takes each once."""
    digest = hashlib.sha256(json.dumps(start.to_json()).encode())
    if isinstance(first, Frame):
        digest.update(first.image.tobytes())
    return digest.hexdigest()[:32]
