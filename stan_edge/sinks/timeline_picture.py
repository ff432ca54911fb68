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
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMB_PX, THUMBS, LEFT_PX = 160, 6, 150
KEPT_S = 3600.0
"""A run without end is drawn with its last hour."""
THUMB_GAP_S = 0.25
KEPT_THUMBS = 100


class TimelinePicture(Sink):
    """Writes a PNG when the stream ends.

    Raises:
        ConfigError: the file cannot be written; also from `close`.
    """

    def __init__(self, path: Path, contract: Contract, method: Method) -> None:
        check_output(path, "pictures.timeline", ".png")
        self._path = path
        self._contract = contract
        self._thresholds = contract.methods[method].thresholds
        self._frames: deque[TimelineFrame] = deque(maxlen=round(KEPT_S / contract.input.tick_s))
        self._recent: deque[tuple[int, Image]] = deque()  # until their importance is final
        self._best: list[tuple[TimelineFrame, Image]] = []
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
                self._keep(frame, self._recent[0][1])

    def close(self) -> None:
        if self._frames:
            from stan_edge.reports.charts import render

            write_whole(self._path, render(self._draw), "pictures.timeline")

    def _keep(self, frame: TimelineFrame, thumb: Image) -> None:
        """Keep the strongest frames; which of them are shown is chosen at the end."""
        self._best.append((frame, thumb))
        if len(self._best) > KEPT_THUMBS:
            weakest = min(range(len(self._best)), key=lambda k: _strength(self._best[k]))
            del self._best[weakest]

    def _shown(self) -> list[tuple[TimelineFrame, Image]]:
        """The strongest frames that lie `THUMB_GAP_S` apart, in order of time."""
        shown: list[tuple[TimelineFrame, Image]] = []
        for entry in sorted(self._best, key=_strength, reverse=True):
            if len(shown) < THUMBS and all(abs(entry[0].t_s - other[0].t_s) >= THUMB_GAP_S for other in shown):
                shown.append(entry)
        return sorted(shown, key=lambda entry: entry[0].t_s)

    def _draw(self) -> Figure:
        from stan_edge.reports import charts

        start_s, end_s = self._frames[0].t_s, max(self._frames[-1].t_s, self._frames[0].t_s + 1.0)
        curve = Curve()
        for frame in self._frames:
            curve.add(frame, important=frame.is_important(self._thresholds))
        spans = [charts.event_span(event) for event in self._events.values()]
        shown = self._shown()
        rows = [charts.spans_row(spans, below_px=4), charts.Row(charts.CURVE_PX + 60)]
        if shown:
            rows.append(charts.pictures_row([thumb for _, thumb in shown]))
        figure, (events, importance, *pictures) = charts.new_figure(rows, left_px=LEFT_PX)
        charts.draw_times((events, importance), start_s, end_s)
        charts.draw_spans(events, "events, with the highest probability of each", spans, self._contract.alarms)
        tick_s = self._contract.input.tick_s
        charts.draw_importance(importance, "importance of each frame", curve, self._thresholds, tick_s)
        for axes in pictures:
            captions = [(thumb, f"{frame.t_s:.1f} s: {frame.importance:.2f}") for frame, thumb in shown]
            charts.draw_pictures(axes, "most important frames, with their importance", captions)
        return figure


def _strength(entry: tuple[TimelineFrame, Image]) -> float:
    return entry[0].importance or 0.0
