"""Importance over a recording of any length in as many points as a picture can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stan_edge.pipeline.timeline import TimelineFrame

MOST = 4096
"""Points kept; when they are used up, neighbours become one, and each holds twice the time."""


@dataclass(frozen=True)
class Point:
    """The strongest frame of a short time."""

    t_s: float
    importance: float | None
    """None: no valid window held any of its frames."""
    label: str | None
    important: bool
    """Whether any of its frames is."""


class Curve:
    """Takes final frames in order and keeps at most `MOST` points of them."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._frames_a_point = 1
        self._frames = 0

    def add(self, frame: TimelineFrame, *, important: bool) -> None:
        point = Point(frame.t_s, frame.importance, frame.label, important)
        if self._frames % self._frames_a_point:
            self._points[-1] = _stronger(self._points[-1], point)
        else:
            if len(self._points) == MOST:
                self._points = [_stronger(*self._points[k : k + 2]) for k in range(0, MOST, 2)]
                self._frames_a_point *= 2
            self._points.append(point)
        self._frames += 1

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)


def _stronger(point: Point, later: Point) -> Point:
    best = max(point, later, key=lambda one: -1.0 if one.importance is None else one.importance)
    return Point(point.t_s, best.importance, best.label, point.important or later.important)
