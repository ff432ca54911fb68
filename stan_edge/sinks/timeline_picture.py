"""One picture of a whole run: events, importance curve, and the most important frames."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from stan_edge.files import check_output, write_whole
from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, Record
from stan_edge.reports.curve import Curve
from stan_edge.reports.drawing import scale_to
from stan_edge.reports.key_frames import KeyFrames
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMB_PX, THUMBS, THUMBS_KEPT, THUMB_GAP_S = 160, 6, 100, 0.25
CURVE_PX = 170
KEPT_S = 3600.0
"""A run without end is drawn with its last hour."""


class TimelinePicture(Sink):
    """Writes a PNG when the stream ends.

    Raises:
        ConfigError: the file cannot be written; also from `close`.
    """

    def __init__(self, path: Path, contract: Contract, method: Method) -> None:
        check_output(path, "pictures.timeline", ".png")
        self._path, self._contract, self._method = path, contract, method
        self._thresholds = contract.methods[method].thresholds
        self._frames: deque[TimelineFrame] = deque(maxlen=round(KEPT_S / contract.input.tick_s))
        self._recent: deque[tuple[int, Image]] = deque()  # until their importance is final
        self._thumbs = KeyFrames(THUMBS, THUMBS_KEPT, THUMB_GAP_S)
        self._events: dict[int, Event] = {}

    def record(self, record: Record) -> None:
        if isinstance(record, Event):
            self._events[record.event] = record
            since_s = self._frames[0].t_s if self._frames else 0.0
            self._events = {number: event for number, event in self._events.items() if event.t_end_s >= since_s}

    def frame(self, frame: Frame, region: Region) -> None:
        self._recent.append((frame.index, scale_to(frame.image, THUMB_PX)))

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self._frames.extend(frames)
        for frame in frames:
            while self._recent and self._recent[0][0] < frame.index:
                self._recent.popleft()
            if frame.is_important(self._thresholds) and self._recent:
                self._thumbs.add(frame, self._recent[0][1])

    def close(self) -> None:
        if self._frames:
            from stan_edge.reports.charts import render

            write_whole(self._path, render(self._draw), "pictures.timeline")

    def _draw(self) -> Figure:
        from stan_edge.reports.recording_charts import draw_explanation

        curve = Curve()
        for frame in self._frames:
            curve.add(frame, important=frame.is_important(self._thresholds))
        start_s = self._frames[0].t_s
        times_s = (start_s, max(self._frames[-1].t_s, start_s + 1.0))
        events, curves = self._events.values(), {self._method: curve}
        return draw_explanation(self._contract, times_s, {}, events, curves, self._thumbs.chosen(), CURVE_PX)
