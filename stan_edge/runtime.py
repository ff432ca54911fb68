"""A source, a model, and sinks: the loop that keeps time."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.errors import StanEdgeError
from stan_edge.explainer import PREDICTED, Explainer, Explanation
from stan_edge.journal.writer import Journal
from stan_edge.person import Tracker
from stan_edge.privacy import Privacy, hide
from stan_edge.records import End, Event, Record, Start, Status
from stan_edge.sinks import Sink
from stan_edge.sources import SYSTEM_CLOCK, Clock, CroppedSource, Feed, Frame, Reader, Reconnecting
from stan_edge.stream import Stream
from stan_edge.windows import Window

MAX_READ_AHEAD_FRAMES = 120
"""A live reader keeps at most this much, and `MAX_BYTES`; what inference cannot follow is dropped and counted."""
POLL_S = 0.2
"""How often a quiet live source is interrupted to see whether the user wants to stop, and whether events end."""


@dataclass
class StageTimes:
    """Where the time of each window went, in milliseconds; for `bench`."""

    region_ms: list[float]
    view_ms: list[float]
    explain_ms: list[float]
    conclude_ms: list[float]

    @classmethod
    def empty(cls) -> StageTimes:
        return cls([], [], [], [])


class Runtime:
    """Runs one source through one model until the source ends or `stop` is set.

    Args:
        asked: the class that every window explains; None: its own label.
        journal: is told of every record before any sink, and an alarm is on disk when it returns. It is no sink, so
            that it cannot come after one.
        privacy: what sinks get to see of the person; the model sees everything.
        clock: what a live source and its delays are measured by.
        stages: receives the time of each stage when given.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        explainer: Explainer,
        sinks: Sequence[Sink],
        *,
        hop_s: float | None = None,
        asked: str | None = None,
        journal: Journal | None = None,
        privacy: Privacy = "none",
        stop: threading.Event | None = None,
        clock: Clock = SYSTEM_CLOCK,
        stages: StageTimes | None = None,
    ) -> None:
        self._bundle = bundle
        self._backend = backend
        self._explainer = explainer
        self._sinks = sinks
        self._hop_s = bundle.contract.hop_s if hop_s is None else hop_s
        self._asked = asked
        self._class_index = PREDICTED if asked is None else bundle.contract.classes.index(asked)
        self._journal = journal
        self._privacy = privacy
        self._run_id = ""
        self._stop = stop or threading.Event()
        self._clock = clock
        self._stages = stages

    def run(self, source: Feed, tracker: Tracker | None) -> End:
        """Process a source to its end. What was taken from it is finished and written, also on `stop` and when
        the source fails on the way (then `failed` is set). The source is closed.

        Args:
            tracker: finds the person; None takes the whole frame.

        Raises:
            StanEdgeError: the source gave no frame at all and nothing has been written, or a sink cannot write.
        """
        reader = Reader(source, MAX_READ_AHEAD_FRAMES, clock=self._clock) if source.live else None
        try:
            return self._run(source, reader, tracker)
        except BaseException:
            for sink in self._sinks:
                sink.discard()
            raise
        finally:
            (reader or source).close()

    def _run(self, source: Feed, reader: Reader | None, tracker: Tracker | None) -> End:
        contract, method = self._bundle.contract, self._explainer.method
        stream = Stream(source.name, contract, method, self._hop_s, tracker, source.live, self._asked)
        failure: StanEdgeError | None = None
        started = silent = False
        frames = damaged = 0
        while not self._stop.is_set():
            dropped = _dropped(reader, damaged)
            for sink in self._sinks:
                sink.turn(dropped)
            try:
                item = reader.get(POLL_S) if reader else source.read()
                # the second `get` raises if the source has failed since the first one gave up
                if item is None and (reader is None or (reader.ended and (item := reader.get(0)) is None)):
                    break
            except StanEdgeError as error:
                if frames == 0:
                    raise
                failure = error
                break
            anchor_s = reader.anchor_s if reader else None
            if item is None:
                if silent and anchor_s is not None:
                    for event in stream.pass_time(self._clock.now_s() - anchor_s):
                        self._record(event)
                continue
            if not started:
                self._record(self._start(source, tracker, item))
                started = True
            if isinstance(item, Status):
                silent = item.state != "online"
                self._record(item)
                continue
            frames += 1
            damaged += item.damaged
            arrived_s = self._clock.now_s() if anchor_s is None else anchor_s + item.t_capture_s
            self._feed(stream, item, arrived_s, live=source.live)
        if not started:
            self._record(self._start(source, tracker, None))
        self._finish(stream)
        end = End(
            camera=source.name,
            reason=str(failure) if failure else "stopped" if self._stop.is_set() else "end_of_stream",
            frames=frames,
            windows=stream.counts,
            dropped=_dropped(reader, damaged),
            failed=failure is not None,
        )
        self._record(end)
        for sink in self._sinks:
            sink.close()
        return end

    def _finish(self, stream: Stream) -> None:
        for window in stream.finish_windows():
            self._window(stream, window, self._clock.now_s(), shed=False)
        final, events = stream.finish()
        for sink in self._sinks:
            sink.timeline(final)
        for event in events:
            self._record(event)

    def _feed(self, stream: Stream, frame: Frame, arrived_s: float, *, live: bool) -> None:
        t0 = time.perf_counter()
        region, windows = stream.feed(frame)
        if self._stages:
            self._stages.region_ms.append((time.perf_counter() - t0) * 1e3)
        shown = replace(frame, image=hide(frame.image, region, self._privacy))
        for sink in self._sinks:
            sink.frame(shown, region)
        for window in windows:
            # a live window that is already a hop late is shed: the next one is due and shows the same frames
            late_s = self._clock.now_s() - arrived_s
            self._window(stream, window, arrived_s, shed=live and late_s > self._hop_s)

    def _window(self, stream: Stream, window: Window, arrived_s: float, *, shed: bool) -> None:
        explanation: Explanation | None = None
        if window.reason is None and not shed:
            t0 = time.perf_counter()
            pictures, square = stream.network_input(window)
            t1 = time.perf_counter()
            explanation = self._explainer(pictures, self._class_index, window.number)
            t2 = time.perf_counter()
            if self._stages:
                self._stages.view_ms.append((t1 - t0) * 1e3)
                self._stages.explain_ms.append((t2 - t1) * 1e3)
        t3 = time.perf_counter()
        step = stream.conclude(window, explanation, (self._clock.now_s() - arrived_s) * 1e3)
        self._record(step.result)
        if explanation is not None:
            bare = window.without_pictures()
            for sink in self._sinks:
                sink.window(bare, step.result, square, explanation)
        for sink in self._sinks:
            sink.timeline(step.final)
        for event in step.events:
            self._record(event)
        if self._stages:
            self._stages.conclude_ms.append((time.perf_counter() - t3) * 1e3)

    def _record(self, record: Record) -> None:
        if isinstance(record, Event):
            record = replace(record, id=f"{self._run_id}-{record.event}")
        if self._journal is not None:
            self._journal.record(record)
        for sink in self._sinks:
            sink.record(record)

    def _start(self, source: Feed, tracker: Tracker | None, first: Frame | Status | None) -> Start:
        contract = self._bundle.contract
        start = Start(
            camera=source.name,
            model=contract.name,
            model_digest=self._bundle.digest,
            backend=self._backend.name,
            precision=self._backend.precision,
            fallback=self._backend.fallback,
            method=self._explainer.method,
            view=contract.input.view,
            calibrated=contract.methods[self._explainer.method].scale is not None,
            run="",
            live=source.live,
            hop_s=self._hop_s,
            explain_class=self._asked,
            crop=str(source.crop) if isinstance(source, CroppedSource | Reconnecting) and source.crop else None,
            person=tracker is not None,
        )
        self._run_id = uuid.uuid4().hex if source.live else _recording_id(start, first)
        return replace(start, run=self._run_id)


def _recording_id(start: Start, first: Frame | Status | None) -> str:
    """The same whenever a recording is run in the same way: who goes by the ids of events takes each once."""
    digest = hashlib.sha256(json.dumps(start.to_json()).encode())
    if isinstance(first, Frame):
        digest.update(first.image.tobytes())
    return digest.hexdigest()[:32]


def _dropped(reader: Reader | None, damaged: int) -> dict[str, int]:
    """Frames that were lost so far, by cause."""
    lost = {"damaged": damaged}
    if reader is not None:
        lost |= {"slow": reader.dropped, "duplicate": reader.duplicates}
    return {cause: count for cause, count in lost.items() if count}
