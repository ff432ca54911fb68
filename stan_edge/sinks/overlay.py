"""Annotated video: label, probability, person, importance bar, and heat where the network looked."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from stan_edge.files import check_output, writing
from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.heat import SurestHeat
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Record, WindowResult
from stan_edge.reports.drawing import CYAN, DARK, GRAY, GREEN, RED, WHITE, put_text, scale_to
from stan_edge.reports.heat_colors import add_heat
from stan_edge.reports.video_writer import VideoWriter
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Image, Square

FIELD = "pictures.video"
WIDTH_PX = 640
STRIP_PX = 64
SHOWN_S = 8.0
SHOWN_DELAY_S = 0.5
"""How far outside a window its label is still shown; beyond, there is no verdict."""
LOOKAHEAD_S = 2.0
"""A written frame waits for this much of what comes after it in the strip."""


class Annotator(Sink):
    """Keeps what windows and timeline said lately, and draws it on frames; what becomes of those, subclasses say."""

    def __init__(self, contract: Contract, method: Method) -> None:
        self._contract = contract
        self._thresholds = contract.methods[method].thresholds
        self._heats = SurestHeat(contract)
        self._results: deque[WindowResult] = deque(maxlen=64)
        self._timeline: deque[TimelineFrame] = deque(maxlen=round(2 * SHOWN_S / contract.input.tick_s))

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        self._results.append(result)
        self._heats.add(result, explanation.map, square)
        self._heats.forget_before(window.t_start_s - SHOWN_S)

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult) and record.valid and record.method is None:  # only a label, and no `window`
            self._results.append(record)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self._timeline.extend(frames)

    def draw(self, image: Image, scale: float, t_s: float, region: Region) -> Image:
        """Annotate a frame that was taken at `t_s`; returns a new image, `STRIP_PX` higher."""
        tick = min(self._timeline, key=lambda frame: abs(frame.t_s - t_s), default=None)
        value, heat = 0.0, None
        if tick and abs(tick.t_s - t_s) <= self._contract.input.tick_s:
            value, heat = tick.importance or 0.0, self._heats.get(tick.index) if tick.label else None
        elif self._results and (newest := self._results[-1].frames[-1]).t_s >= t_s - SHOWN_DELAY_S:
            # live: no importance is final yet
            value, heat = newest.score or 0.0, self._heats.get(newest.index)
        picture = add_heat(image, scale, heat.cells, heat.square, min(1.0, 2 * value)) if heat else image.copy()
        if region.box_px is not None:
            x0, y0, x1, y1 = (round(edge * scale) for edge in region.box_px)
            cv2.rectangle(picture, (x0, y0), (x1, y1), CYAN if region.state == "tracked" else GRAY, 1, cv2.LINE_AA)
        self._draw_label(picture, t_s)
        strip = np.full((STRIP_PX, picture.shape[1], 3), DARK, np.uint8)
        self._draw_strip(strip, t_s)
        return np.concatenate([picture, strip])

    def _draw_label(self, picture: Image, t_s: float) -> None:
        # the window whose middle is closest says best what happens at this moment
        result = min(self._results, key=lambda r: abs((r.t_start_s + r.t_end_s) / 2 - t_s), default=None)
        near = result is not None and result.t_start_s - SHOWN_DELAY_S <= t_s <= result.t_end_s + SHOWN_DELAY_S
        if result is None or result.label is None or not near:
            put_text(picture, "-", (10, 24), GRAY, 0.7)
        else:
            color = RED if result.label in self._contract.alarms else GREEN
            put_text(picture, f"{result.label.replace('_', ' ')}  {result.probability:.2f}", (10, 26), color, 0.75)

    def _draw_strip(self, strip: Image, t_s: float) -> None:
        height, width = strip.shape[:2]
        x0, y0, x1, y1 = 8, 18, width - 8, height - 6
        start_s, px_per_s = t_s - SHOWN_S / 2, (x1 - x0) / SHOWN_S
        for frame in self._timeline:
            left = round(x0 + (frame.t_s - start_s) * px_per_s)
            right = max(round(x0 + (frame.t_s + self._contract.input.tick_s - start_s) * px_per_s) - 1, left)
            if right < x0 or left > x1:
                continue
            left, right = max(left, x0), min(right, x1)
            color = RED if frame.is_important(self._thresholds) else CYAN
            top = round(y1 - (frame.importance or 0.0) * (y1 - y0))
            cv2.rectangle(strip, (left, top), (right, y1), color, cv2.FILLED)
            threshold = frame.threshold(self._thresholds)
            if threshold is not None:
                line_y = round(y1 - threshold * (y1 - y0))
                cv2.line(strip, (left, line_y), (min(right + 1, x1), line_y), GRAY, 1)
        cv2.line(strip, (width // 2, y0), (width // 2, y1), WHITE, 1)
        put_text(strip, f"importance   t = {t_s:.1f} s", (8, 13), GRAY, 0.4)


class OverlayVideo(Annotator):
    """Writes an mp4 in which each frame carries its final importance: frames wait until no window can change it.

    Memory holds a window, a hop and `LOOKAHEAD_S` of frames, `WIDTH_PX` wide.

    Raises:
        ConfigError: the file cannot be written; also from `timeline` and `close`.
    """

    def __init__(self, path: Path, contract: Contract, method: Method) -> None:
        super().__init__(contract, method)
        check_output(path, FIELD, ".mp4")
        self._path = path
        self._waiting: deque[tuple[float, Image, float, Region]] = deque()
        self._video: VideoWriter | None = None

    def frame(self, frame: Frame, region: Region) -> None:
        small = scale_to(frame.image, WIDTH_PX)
        boxed = replace(region, mask=None)  # a mask is as large as the frame, and only the box is drawn
        self._waiting.append((frame.t_capture_s, small, WIDTH_PX / frame.image.shape[1], boxed))

    def timeline(self, frames: list[TimelineFrame]) -> None:
        super().timeline(frames)
        if self._timeline:
            self._write(self._timeline[-1].t_s - LOOKAHEAD_S)

    def close(self) -> None:
        self._write(float("inf"))
        if self._video is not None:
            with writing(self._path, FIELD):
                self._video.close()

    def discard(self) -> None:
        if self._video is not None:
            self._video.discard()

    def _write(self, until_s: float) -> None:
        while self._waiting and self._waiting[0][0] <= until_s:
            if self._video is None:
                span_s = self._waiting[-1][0] - self._waiting[0][0]
                fps = round((len(self._waiting) - 1) / span_s, 2) if span_s > 0 else 30.0
                self._video = VideoWriter(self._path, fps)
            t_s, small, scale, region = self._waiting.popleft()
            with writing(self._path, FIELD):
                self._video.write(self.draw(small, scale, t_s, region))
