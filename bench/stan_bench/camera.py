"""A recording that keeps a camera's pace and knows when each frame was captured, and a sink that looks at the clock."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal, get_args

from stan_edge.live.context import Stage
from stan_edge.person.tracking import Region
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame, PacedSource, Source

WARM_UP_WINDOWS = 5
"""Results of a camera that are reported apart: caches are cold, and libraries finish loading with the first call."""

WindowState = Literal["done", "late", "shed", "invalid"]


class StageTimes:
    """Where the time of one camera's windows went."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {stage: [] for stage in get_args(Stage)}
        self._since_s = 0.0

    def end(self, stage: Stage | None) -> None:
        """Take the end of a stage, see `CameraSpec.on_stage`."""
        now_s = time.perf_counter()
        if stage is not None:
            self.ms[stage].append((now_s - self._since_s) * 1e3)
        if stage != "queue":  # which is part of `explain`
            self._since_s = now_s


class TimedFile:
    """Times `read`, which is where a file is decoded."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.decode_ms: list[float] = []
        self.last_s = 0.0

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def live(self) -> bool:
        return self._source.live

    def read(self) -> Frame | None:
        started_s = time.perf_counter()
        frame = self._source.read()
        if frame is not None:
            self.decode_ms.append((time.perf_counter() - started_s) * 1e3)
            self.last_s = frame.t_capture_s
        return frame

    def close(self) -> None:
        self._source.close()


class FileCamera:
    """A recording as a camera delivers it.

    A frame is captured when its time has come, and handed on after as long as decoding it took: decoding ahead is
    what only a file allows. What a camera and its network add lies before and is not in here.

    Args:
        start_after_s: it begins so long after the first `read`.
    """

    live = True

    def __init__(self, source: Source, name: str, start_after_s: float = 0.0) -> None:
        self.name = name
        self._start_after_s = start_after_s
        self.file = TimedFile(source)
        self._paced = PacedSource(self.file)
        self._closed = threading.Event()
        self._start_s: float | None = None

    def read(self) -> Frame | None:
        """The next frame, its decoding time after its capture."""
        if self._start_s is None and self._closed.wait(self._start_after_s):
            return None
        frame = self._paced.read()
        if frame is None:
            return None
        if self._start_s is None:
            self._start_s = time.monotonic() - frame.t_capture_s
        decoded_s = self.captured_s(frame.t_capture_s) + self.file.decode_ms[-1] / 1e3
        if self._closed.wait(max(decoded_s - time.monotonic(), 0.0)):
            return None
        return frame

    def captured_s(self, t_capture_s: float) -> float:
        """`time.monotonic` at the capture of a frame that was read."""
        return (self._start_s or 0.0) + t_capture_s

    def close(self) -> None:
        """Wake a waiting `read` and close the recording."""
        self._closed.set()
        self._paced.close()


@dataclass(frozen=True)
class WindowTiming:
    """What became of one window that was due."""

    due_s: float
    """Capture of the frame that completed it, in seconds of the recording."""
    state: WindowState
    """`late`: done, but after the next window was due."""
    latency_ms: float | None
    """From that capture to the result; None for one that was not done, or that the end of the recording completed."""


@dataclass(frozen=True)
class EventTiming:
    """When one event was announced, went on or ended."""

    window: int
    """Windows that had been due."""
    latency_ms: float
    """From the capture of the frame that completed the window which brought it on."""
    onset_ms: float | None
    """From the capture of the first frame of the event, when this announces it: what the model needs to be sure."""


class TimingSink(Sink):
    """Looks at the clock whenever something is emitted; goes last, so that what the other sinks need is in it.

    Args:
        camera: None for a file that is run as fast as possible: then nothing has a latency.
        stages: the camera's; how much of them is warm-up is noted here.
    """

    def __init__(self, camera: FileCamera | None, stages: StageTimes, hop_s: float) -> None:
        self._camera = camera
        self._stages = stages
        self._hop_s = hop_s
        self._newest_s = 0.0
        self._concluding = self._on_time = False
        self.windows: list[WindowTiming] = []
        self.events: list[EventTiming] = []
        self.first_frame_s: float | None = None
        """`time.monotonic` when the first frame arrived."""
        self.first_result_s: float | None = None
        """`time.monotonic` of the first result."""
        self.warm_up: dict[str, int] = {}
        """How many values of each stage belong to the warm-up; empty while it lasts."""

    def frame(self, frame: Frame, region: Region) -> None:
        self._newest_s = frame.t_capture_s
        if self.first_frame_s is None:
            self.first_frame_s = time.monotonic()
        if not self.warm_up and len(self.windows) >= WARM_UP_WINDOWS:
            counts = {stage: len(values) for stage, values in self._stages.ms.items()}
            # the region of this frame is known already, and it is the first after the warm-up
            self.warm_up = {**counts, "region": counts["region"] - 1, "decode": frame.index}

    def record(self, record: Record) -> None:
        now_s = time.monotonic()
        if isinstance(record, WindowResult):
            self.first_result_s = self.first_result_s or now_s
            self.windows.append(self._timing(record, now_s))
            self._concluding = self.windows[-1].latency_ms is not None
        if isinstance(record, Event) and self._camera is not None and self._on_time:
            latency_ms = (now_s - self._camera.captured_s(self._newest_s)) * 1e3
            onset_ms = (now_s - self._camera.captured_s(record.t_start_s)) * 1e3 if record.phase == "start" else None
            self.events.append(EventTiming(len(self.windows), latency_ms, onset_ms))

    def timeline(self, frames: list[TimelineFrame]) -> None:
        # told once for every window before its events, and once more at the end, whose events no frame brought on
        self._on_time, self._concluding = self._concluding, False

    def _timing(self, record: WindowResult, now_s: float) -> WindowTiming:
        if not record.valid:
            return WindowTiming(self._newest_s, "shed" if record.reason == "shed" else "invalid", None)
        if self._camera is None or _completed_by_the_end(record, self._newest_s):
            return WindowTiming(self._newest_s, "done", None)
        late_s = now_s - self._camera.captured_s(self._newest_s)
        return WindowTiming(self._newest_s, "late" if late_s > self._hop_s else "done", late_s * 1e3)


def _completed_by_the_end(record: WindowResult, newest_s: float) -> bool:
    """True when the last tick of the window lies after the last frame there is: only the end could decide it."""
    tick_s = (record.t_end_s - record.t_start_s) / len(record.frames)
    return record.t_end_s - tick_s > newest_s + 1e-6
