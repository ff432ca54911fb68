"""What belongs to one event, gathered as it comes: no threads, no clock, no input or output."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stan_edge.evidence.ring import CompressedFrame, FrameRing
from stan_edge.files import plain_name
from stan_edge.model.contract import Contract
from stan_edge.records import Event, Start, WindowResult, to_line
from stan_edge.types import Square

LONGEST_S = 60.0
"""Of an event that goes on for longer, the first minute is written as soon as it is over."""

Cut = Literal["long", "memory", "stream"]


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Where the network looked in a window."""

    map: NDArray[np.float32]  # [T, h, w], raw
    square: Square


@dataclass(frozen=True, eq=False)
class CaseWindow:
    """A window that was reported."""

    result: WindowResult
    line: str
    look: Heatmap | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One event, whole: everything that is written about it."""

    start: Start
    event: Event
    """As it was known last."""
    from_s: float
    until_s: float
    at: datetime | None
    """Local time at which the event began; None for a recording."""
    cut: Cut | None
    """Why pictures end before they should: a `long` event, no more `memory`, or the `stream` ended."""
    shots: tuple[CompressedFrame, ...]
    windows: tuple[CaseWindow, ...]
    lines: tuple[str, ...]
    """Records as JSON, in order."""

    @property
    def name(self) -> str:
        """Camera, time, class and id, safe as a name of a folder; the same event has the same."""
        time = f"{self.event.t_start_s:09.3f}s" if self.at is None else f"{self.at:%Y%m%dT%H%M%S%z}"
        camera, label = plain_name(self.event.camera), plain_name(self.event.label)
        return f"{camera}-{time}-{label}-{self.event.id}"


@dataclass(eq=False)
class _OpenCase:
    key: str
    first: Event
    last: Event
    until_s: float
    at: datetime | None
    cut: Cut | None = "long"
    lines: list[tuple[int, str]] = field(default_factory=list)


class CaseCollector:
    """Keeps the last seconds of one stream and gives a `Case` for each event, `around_s` after its end.

    Memory holds what an event that starts now may need, and that of the events going on: a bounded number of bytes.

    Args:
        around_s: time shown before the event and after it.
    """

    def __init__(self, start: Start, contract: Contract, around_s: float, ring: FrameRing | None = None) -> None:
        self._start = start
        self._around_s = around_s
        # an event begins at most so long before it is announced
        late_s = max((spec.min_duration_s + spec.merge_gap_s for spec in contract.events.values()), default=0.0)
        self._back_s = around_s + contract.input.window_s + late_s
        self._ring = FrameRing() if ring is None else ring
        self._windows: deque[tuple[int, CaseWindow]] = deque()
        self._open: dict[str, _OpenCase] = {}
        self._number = 0

    def frame(self, shot: CompressedFrame) -> list[Case]:
        """Take a frame; returns what is whole now."""
        done = [self._close(case) for case in list(self._open.values()) if shot.t_s > case.until_s]
        if not self._ring.has_room(shot):
            oldest = min(self._open.values(), key=lambda case: case.first.t_start_s, default=None)
            if oldest is not None:
                oldest.cut = "memory"
                done.append(self._close(oldest))
        since_s = min([shot.t_s - self._back_s, *(self._from_s(case) for case in self._open.values())])
        self._ring.add(shot, since_s)
        while self._windows and self._windows[0][1].result.t_end_s < since_s:
            self._windows.popleft()
        return done

    def window(self, result: WindowResult, at: str | None) -> None:
        """Take the record of a window."""
        self._number += 1
        self._windows.append((self._number, CaseWindow(result, to_line(result, at))))

    def look(self, look: Heatmap) -> None:
        """Where the network looked in the window that was taken last."""
        number, window = self._windows.pop()
        self._windows.append((number, replace(window, look=look)))

    def event(self, event: Event, at: str | None, began_at: datetime | None) -> None:
        """Take a record of an event.

        Args:
            began_at: local time of its `t_start_s`.
        """
        key = event.id or str(event.event)
        self._number += 1
        if event.phase == "start":
            until_s = event.t_start_s + LONGEST_S + self._around_s
            self._open[key] = _OpenCase(key, event, event, until_s, began_at)
        case = self._open.get(key)
        if case is None:  # written already
            return
        case.last = event
        case.lines.append((self._number, to_line(event, at)))
        if event.phase == "end" and event.t_end_s + self._around_s <= case.until_s:
            case.until_s, case.cut = event.t_end_s + self._around_s, None

    def silent(self) -> list[Case]:
        """No frame has come for a while; returns the events that have ended."""
        return [self._break_off(case) for case in list(self._open.values()) if case.last.phase == "end"]

    def finish(self) -> list[Case]:
        """No frame will come any more; returns the rest."""
        return [self._break_off(case) for case in list(self._open.values())]

    def _break_off(self, case: _OpenCase) -> Case:
        if case.until_s > self._ring.newest_s:
            case.cut = "stream"
        return self._close(case)

    def _from_s(self, case: _OpenCase) -> float:
        return max(min(case.first.t_start_s, case.last.t_start_s) - self._around_s, 0.0)

    def _close(self, case: _OpenCase) -> Case:
        del self._open[case.key]
        from_s, until_s = self._from_s(case), min(case.until_s, self._ring.newest_s)
        windows = [
            (number, window)
            for number, window in self._windows
            if window.result.t_end_s > from_s and window.result.t_start_s < until_s
        ]
        lines = sorted([*case.lines, *((number, window.line) for number, window in windows)])
        return Case(
            start=self._start,
            event=case.last,
            from_s=from_s,
            until_s=until_s,
            at=case.at,
            cut=case.cut,
            shots=tuple(self._ring.between(from_s, until_s)),
            windows=tuple(window for _, window in windows),
            lines=tuple(line for _, line in lines),
        )
