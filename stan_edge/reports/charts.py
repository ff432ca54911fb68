"""A film's explanation as one picture: labels, importance by method, events and key frames."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from stan_edge.model.contract import Contract
from stan_edge.reports.curve import Point
from stan_edge.reports.drawing import DARK, GRAY, GREEN, RED, WHITE, draw_bars, put_text, scale_to
from stan_edge.reports.recording import RecordingReport
from stan_edge.types import Image

WIDTH_PX, MARGIN_PX, HEAD_PX, TRACK_PX, GAP_PX = 1280, 12, 22, 80, 10
EVENTS_PX = 22
KEY_FRAMES_A_ROW = 6
_BACK = (34, 37, 43)
Area = tuple[int, int, int, int]


def draw_tracks(film: RecordingReport, contract: Contract) -> Image:
    """Labels, events, and a curve for each method, one below the other, RGB."""
    rows = HEAD_PX + EVENTS_PX + GAP_PX, HEAD_PX + EVENTS_PX + GAP_PX, HEAD_PX + TRACK_PX + GAP_PX
    image = np.full((sum(rows[:2]) + rows[2] * len(film.curves) + HEAD_PX, WIDTH_PX, 3), DARK, np.uint8)
    left, right = MARGIN_PX, WIDTH_PX - MARGIN_PX
    span_s = (0.0, max(film.duration_s, 1.0))
    y = HEAD_PX
    put_text(image, "what is shown (bright: sure; red: an alarm class)", (left, y - 7), GRAY, 0.45)
    _draw_labels(image, film, contract, (left, y, right, y + EVENTS_PX), span_s)
    y += rows[0]
    put_text(image, "events", (left, y - 7), GRAY, 0.45)
    _draw_events(image, film, (left, y, right, y + EVENTS_PX), span_s)
    y += rows[1]
    for method, curve in film.curves.items():
        thresholds = contract.methods[method].thresholds
        put_text(image, f"importance by {method} (red: important; line: threshold)", (left, y - 7), GRAY, 0.45)
        area = (left, y, right, y + TRACK_PX)
        cv2.rectangle(image, area[:2], area[2:], _BACK, cv2.FILLED)
        points = list(curve)
        bars = [(p.t_s, p.importance or 0.0, None if p.label is None else thresholds[p.label]) for p in points]
        draw_bars(image, bars, area, span_s, _step_s(points, contract.input.tick_s))
        y += rows[2]
    _draw_times(image, (left, y - HEAD_PX, right, y), span_s)
    return image


def draw_report(film: RecordingReport, contract: Contract) -> Image:
    """The tracks with the key frames below them, RGB."""
    image = draw_tracks(film, contract)
    width = (WIDTH_PX - 2 * MARGIN_PX) // KEY_FRAMES_A_ROW
    for first in range(0, len(film.key_frames), KEY_FRAMES_A_ROW):
        some = film.key_frames[first : first + KEY_FRAMES_A_ROW]
        pictures = [scale_to(key.picture, width - 6) for key in some]
        row = np.full((max(picture.shape[0] for picture in pictures) + 6, WIDTH_PX, 3), DARK, np.uint8)
        for slot, (key, picture) in enumerate(zip(some, pictures, strict=True)):
            x = MARGIN_PX + slot * width
            row[: picture.shape[0], x : x + picture.shape[1]] = picture
            text = f"{key.frame.t_s:.1f} s  {(key.frame.label or '').replace('_', ' ')} {key.frame.importance:.2f}"
            put_text(row, text, (x + 4, 16), WHITE, 0.4)
        image = np.concatenate([image, row])
    return image


def _draw_labels(
    image: Image, film: RecordingReport, contract: Contract, area: Area, span_s: tuple[float, float]
) -> None:
    x0, y0, x1, y1 = area
    cv2.rectangle(image, (x0, y0), (x1, y1), _BACK, cv2.FILLED)
    points = list(film.labels)
    step_s = _step_s(points, contract.hop_s)
    names: list[tuple[str, int]] = []
    before: str | None = None
    for point in points:
        if point.label is not None:
            a, b = (_x(t_s, area, span_s) for t_s in (point.t_s - step_s / 2, point.t_s + step_s / 2))
            color = RED if point.label in contract.alarms else GREEN
            faint = tuple(round(c * (0.3 + 0.7 * (point.importance or 0.0))) for c in color)
            cv2.rectangle(image, (max(a, x0), y0), (min(max(b, a), x1), y1), faint, cv2.FILLED)
            if point.label != before:
                names.append((point.label.replace("_", " "), max(a, x0) + 3))
        before = point.label
    free_px = 0
    for name, x in names:  # last, over all colours; one that would cover another is left out
        if x >= free_px:
            put_text(image, name, (x, y1 - 7), WHITE, 0.4)
            free_px = x + 8 * len(name)


def _draw_events(image: Image, film: RecordingReport, area: Area, span_s: tuple[float, float]) -> None:
    x0, y0, x1, y1 = area
    cv2.rectangle(image, (x0, y0), (x1, y1), _BACK, cv2.FILLED)
    for event in film.events:
        a, b = _x(event.t_start_s, area, span_s), _x(event.t_end_s, area, span_s)
        cv2.rectangle(image, (max(a, x0), y0), (min(max(b, a + 3), x1), y1), RED, cv2.FILLED)
        put_text(image, f"{event.label.replace('_', ' ')} {event.peak_probability:.2f}", (a + 4, y1 - 7), WHITE, 0.4)


def _draw_times(image: Image, area: Area, span_s: tuple[float, float]) -> None:
    step_s = max(1, round((span_s[1] - span_s[0]) / 12))
    for t_s in np.arange(0, span_s[1] + 1e-9, step_s):
        put_text(image, f"{t_s:.0f} s", (_x(float(t_s), area, span_s), area[3] - 6), GRAY, 0.4)


def _x(t_s: float, area: Area, span_s: tuple[float, float]) -> int:
    return round(area[0] + (t_s - span_s[0]) * (area[2] - area[0]) / (span_s[1] - span_s[0]))


def _step_s(points: Iterable[Point], least_s: float) -> float:
    """Time that one point stands for."""
    times_s = [point.t_s for point in points]
    return max(least_s, float(np.median(np.diff(times_s)))) if len(times_s) > 1 else least_s
