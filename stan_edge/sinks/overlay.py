"""Annotated video: label, probability, person, importance bar, and heat where the network looked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.files import check_output
from stan_edge.model.contract import Contract, Method
from stan_edge.person.tracking import Region
from stan_edge.pipeline.heat import focus, heated
from stan_edge.pipeline.predictor import Explanation
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Record, WindowResult
from stan_edge.reports.drawing import CYAN, DARK, GRAY, GREEN, RED, WHITE, add_heat, draw_bars, put_text, scale_to
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame
from stan_edge.types import Image, Square

WIDTH_PX = 640
STRIP_PX = 64
SHOWN_S = 8.0
SHOWN_DELAY_S = 0.5
"""How far outside a window its label is still shown; beyond, there is no verdict."""
LOOKAHEAD_S = 2.0
"""A written frame waits for this much of what comes after it in the strip."""


@dataclass(frozen=True, eq=False)
class _Heat:
    t_s: float
    map: NDArray[np.float32]
    square: Square
    probability: float


class Annotator:
    """Keeps what windows and timeline said lately, and draws it on frames."""

    def __init__(self, contract: Contract, method: Method) -> None:
        self._contract = contract
        self._method = contract.methods[method]
        self._heats: dict[int, _Heat] = {}  # by frame index
        self._results: deque[WindowResult] = deque(maxlen=64)
        self._timeline: deque[TimelineFrame] = deque(maxlen=round(2 * SHOWN_S / contract.input.tick_s))

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        self._results.append(result)
        if result.label == self._contract.background or result.probability is None:
            return
        method = self._method if result.method is None else self._contract.methods[result.method]
        square = heated(square, explanation.map.shape[-1], method.cell_px, self._contract.input.size_px)
        for sample, heat in zip(window.samples, focus(explanation.map), strict=True):
            known = self._heats.get(sample.frame.index)
            if known is None or known.probability < result.probability:
                self._heats[sample.frame.index] = _Heat(sample.frame.t_capture_s, heat, square, result.probability)
        for index in [i for i, heat in self._heats.items() if heat.t_s < window.t_start_s - SHOWN_S]:
            del self._heats[index]

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult) and record.valid and record.method is None:  # only a label, and no `window`
            self._results.append(record)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self._timeline.extend(frames)

    def final_until_s(self) -> float:
        """Time up to which frames can be drawn with their final importance."""
        return self._timeline[-1].t_s if self._timeline else -1.0

    def draw(self, image: Image, scale: float, t_s: float, region: Region) -> Image:
        """Annotate a frame that was taken at `t_s`; returns a new image, `STRIP_PX` higher."""
        tick = min(self._timeline, key=lambda frame: abs(frame.t_s - t_s), default=None)
        value, heat = 0.0, None
        if tick and abs(tick.t_s - t_s) <= self._contract.input.tick_s:
            value, heat = tick.importance or 0.0, self._heats.get(tick.index) if tick.label else None
        elif self._results and self._newest_s() >= t_s - SHOWN_DELAY_S:  # live: no importance is final yet
            newest = self._results[-1].frames[-1]
            value, heat = newest.score or 0.0, self._heats.get(newest.index)
        picture = add_heat(image, scale, heat.map, heat.square, min(1.0, 2 * value)) if heat else image.copy()
        if region.box_px is not None:
            x0, y0, x1, y1 = (round(edge * scale) for edge in region.box_px)
            cv2.rectangle(picture, (x0, y0), (x1, y1), CYAN if region.state == "tracked" else GRAY, 1, cv2.LINE_AA)
        self._draw_label(picture, t_s)
        strip = np.full((STRIP_PX, picture.shape[1], 3), DARK, np.uint8)
        self._draw_strip(strip, t_s)
        return np.concatenate([picture, strip])

    def _newest_s(self) -> float:
        return self._results[-1].frames[-1].t_s

    def _draw_label(self, picture: Image, t_s: float) -> None:
        # the window whose middle is closest says best what happens at this moment
        result = min(self._results, key=lambda r: abs((r.t_start_s + r.t_end_s) / 2 - t_s), default=None)
        far = result is None or not result.t_start_s - SHOWN_DELAY_S <= t_s <= result.t_end_s + SHOWN_DELAY_S
        if result is None or far or result.probability is None:
            put_text(picture, "-", (10, 24), GRAY, 0.7)
            return
        color = RED if result.label in self._contract.alarms else GREEN
        put_text(picture, f"{(result.label or '').replace('_', ' ')}  {result.probability:.2f}", (10, 26), color, 0.75)

    def _draw_strip(self, strip: Image, t_s: float) -> None:
        height, width = strip.shape[:2]
        area = (8, 18, width - 8, height - 6)
        span_s = (t_s - SHOWN_S / 2, t_s + SHOWN_S / 2)
        thresholds = self._method.thresholds
        bars = [(frame.t_s, frame.importance or 0.0, frame.threshold(thresholds)) for frame in self._timeline]
        draw_bars(strip, bars, area, span_s, self._contract.input.tick_s)
        cv2.line(strip, (width // 2, area[1]), (width // 2, area[3]), WHITE, 1)
        put_text(strip, f"importance   t = {t_s:.1f} s", (8, 13), GRAY, 0.4)


class OverlayVideo(Sink):
    """Writes an mp4 in which each frame carries its final importance: frames wait until no window can change it.

    Memory holds a window, a hop and `LOOKAHEAD_S` of frames, `WIDTH_PX` wide.

    Raises:
        ConfigError: the file cannot be written; also from `timeline` and `close`.
    """

    def __init__(self, path: Path, contract: Contract, method: Method) -> None:
        check_output(path, "pictures.video", ".mp4")
        self._path = path
        self._part = path.with_suffix(".part.mp4")
        self._annotator = Annotator(contract, method)
        self._waiting: deque[tuple[float, Image, float, Region]] = deque()
        self._writer: cv2.VideoWriter | None = None

    def frame(self, frame: Frame, region: Region) -> None:
        small = scale_to(frame.image, WIDTH_PX)
        boxed = replace(region, mask=None)  # a mask is as large as the frame, and only the box is drawn
        self._waiting.append((frame.t_capture_s, small, small.shape[1] / frame.image.shape[1], boxed))

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        self._annotator.window(window, result, square, explanation)

    def record(self, record: Record) -> None:
        self._annotator.record(record)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self._annotator.timeline(frames)
        self._write(self._annotator.final_until_s() - LOOKAHEAD_S)

    def close(self) -> None:
        self._write(float("inf"))
        if self._writer is not None:
            self._writer.release()
            # the writer never says that the disk was full
            if not cv2.VideoCapture(str(self._part)).isOpened():
                self._part.unlink(missing_ok=True)
                raise ConfigError(
                    f"{self._path} cannot be written (what was written cannot be read back); "
                    "make room or choose another folder.",
                    field="pictures.video",
                )
            self._part.replace(self._path)

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._part.unlink(missing_ok=True)

    def _write(self, until_s: float) -> None:
        while self._waiting and self._waiting[0][0] <= until_s:
            if self._writer is None:
                self._writer = self._open()
            t_s, small, scale, region = self._waiting.popleft()
            picture = self._annotator.draw(small, scale, t_s, region)
            self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def _open(self) -> cv2.VideoWriter:
        span_s = self._waiting[-1][0] - self._waiting[0][0]
        fps = round((len(self._waiting) - 1) / span_s, 2) if span_s > 0 else 30.0
        height, width = self._waiting[0][1].shape[:2]
        writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height + STRIP_PX))
        if not writer.isOpened():
            raise ConfigError(
                f"{self._path} cannot be written; choose a folder that you may write to.", field="pictures.video"
            )
        return writer
