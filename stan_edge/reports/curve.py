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
        self._open: list[Point] = []

    def add(self, frame: TimelineFrame, *, important: bool) -> None:
        self._open.append(Point(frame.t_s, frame.importance, frame.label, important))
        if len(self._open) == self._frames_a_point:
            self._points.append(_strongest(self._open))
            self._open = []
        if len(self._points) == MOST:
            self._points = [_strongest(self._points[k : k + 2]) for k in range(0, MOST, 2)]
            self._frames_a_point *= 2

    def __iter__(self) -> Iterator[Point]:
        yield from self._points
        if self._open:
            yield _strongest(self._open)


def _strongest(points: list[Point]) -> Point:
    best = max(points, key=lambda point: -1.0 if point.importance is None else point.importance)
    important = any(point.important for point in points)
    return Point(points[0].t_s, best.importance, best.label, important)
