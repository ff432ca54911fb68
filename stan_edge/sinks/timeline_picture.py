"""One picture of a whole run: events, importance curve, and the most important frames."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import cv2
import numpy as np

from stan_edge.files import check_output, write_whole
from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, Record
from stan_edge.reports.drawing import DARK, GRAY, RED, WHITE, draw_bars, png, put_text, scale_to
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Image

WIDTH_PX, MARGIN_PX, THUMB_PX = 1280, 12, 150
KEPT_S = 3600.0
"""A run without end is drawn with its last hour."""
THUMBS = (WIDTH_PX - 2 * MARGIN_PX) // (THUMB_PX + 6)
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
        if not self._frames:
            return
        write_whole(self._path, png(self._draw()), "pictures.timeline")

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

    def _draw(self) -> Image:
        span_s = (self._frames[0].t_s, max(self._frames[-1].t_s, self._frames[0].t_s + 1.0))
        thumb_height = max((thumb.shape[0] for _, thumb in self._best), default=0)
        image = np.full((300 + thumb_height, WIDTH_PX, 3), DARK, np.uint8)
        left, right = MARGIN_PX, WIDTH_PX - MARGIN_PX
        self._draw_events(image, (left, 30, right, 54), span_s)
        self._draw_curve(image, (left, 84, right, 234), span_s)
        put_text(image, "most important frames", (left, 282), GRAY, 0.45)
        for slot, (frame, thumb) in enumerate(self._shown()):
            x = left + slot * (THUMB_PX + 6)
            image[290 : 290 + thumb.shape[0], x : x + thumb.shape[1]] = thumb
            put_text(image, f"{frame.t_s:.1f} s  {frame.importance:.2f}", (x + 4, 304), WHITE, 0.4)
        return image

    def _draw_events(self, image: Image, area: tuple[int, int, int, int], span_s: tuple[float, float]) -> None:
        x0, y0, x1, y1 = area
        put_text(image, "events", (x0, y0 - 8), GRAY, 0.45)
        cv2.rectangle(image, (x0, y0), (x1, y1), (44, 47, 54), cv2.FILLED)
        per_s = (x1 - x0) / (span_s[1] - span_s[0])
        for event in self._events.values():
            left = round(x0 + max(event.t_start_s - span_s[0], 0) * per_s)
            right = max(round(x0 + (event.t_end_s - span_s[0]) * per_s), left + 3)
            cv2.rectangle(image, (left, y0), (min(right, x1), y1), RED, cv2.FILLED)
            text = f"{event.label.replace('_', ' ')} {event.peak_probability:.2f}"
            put_text(image, text, (left + 4, y1 - 7), WHITE, 0.45)

    def _draw_curve(self, image: Image, area: tuple[int, int, int, int], span_s: tuple[float, float]) -> None:
        x0, y0, x1, y1 = area
        seen = {frame.label for frame in self._frames}
        lines = ", ".join(
            f"{label.replace('_', ' ')} {t:.2f}" for label, t in self._thresholds.items() if label in seen
        )
        text = f"importance of each frame (red: important; line: threshold{', ' * bool(lines)}{lines})"
        put_text(image, text, (x0, y0 - 8), GRAY, 0.45)
        cv2.rectangle(image, (x0, y0), (x1, y1), (34, 37, 43), cv2.FILLED)
        bars = [(frame.t_s, frame.importance or 0.0, frame.threshold(self._thresholds)) for frame in self._frames]
        draw_bars(image, bars, area, span_s, self._contract.input.tick_s)
        step_s = max(1, round((span_s[1] - span_s[0]) / 12))
        for t_s in np.arange(np.ceil(span_s[0]), span_s[1] + 1e-9, step_s):
            x = round(x0 + (t_s - span_s[0]) * (x1 - x0) / (span_s[1] - span_s[0]))
            put_text(image, f"{t_s:.0f} s", (x, y1 + 16), GRAY, 0.4)


def _strength(entry: tuple[TimelineFrame, Image]) -> float:
    return entry[0].importance or 0.0
