"""What belongs to one event, gathered as it comes: no threads, no clock, no input or output."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stan_edge.evidence.ring import MOST_BYTES, CompressedFrame, FrameRing
from stan_edge.files import plain_name
from stan_edge.model.contract import Contract
from stan_edge.records import Event, WindowResult, to_line
from stan_edge.types import Square

LONGEST_S = 60.0
"""Of an event that goes on for longer, the first minute is written as soon as it is over."""

Cut = Literal["long", "memory", "stream"]


@dataclass(frozen=True, eq=False)
class ExplainedWindow:
    """A window and where the network looked in it."""

    result: WindowResult
    map: NDArray[np.float32]  # [T, h, w], raw
    square: Square


@dataclass(frozen=True, eq=False)
class Case:
    """One event, whole: everything that is written about it."""

    event: Event
    """As it was known last."""
    at: datetime | None
    """Local time at which the event began; None for a recording."""
    cut: Cut | None
    """Why pictures end before they should: a `long` event, no more `memory`, or the `stream` ended."""
    shots: tuple[CompressedFrame, ...]
    explained: tuple[ExplainedWindow, ...]
    lines: tuple[str, ...]
    """Records as JSON, in order: the start of the run, windows and the event's own."""

    @property
    def name(self) -> str:
        """Camera, time, class and id, safe as a name of a folder; the same event has the same."""
        time = f"{self.event.t_start_s:09.3f}s" if self.at is None else f"{self.at:%Y%m%dT%H%M%S%z}"
        camera, label = plain_name(self.event.camera), plain_name(self.event.label)
        return f"{camera}-{time}-{label}-{self.event.id}"


@dataclass(eq=False)
class _OpenCase:
    last: Event
    from_s: float
    until_s: float
    at: datetime | None
    cut: Cut | None = "long"
    lines: list[tuple[int, str]] = field(default_factory=list)


class CaseCollector:
    """Keeps the last seconds of one stream and gives a `Case` for each event, `around_s` after its end.

    Memory holds what an event that starts now may need, and that of the events going on: a bounded number of bytes.

    Args:
        around_s: time shown before the event and after it.
        most_bytes: of the pictures.
    """

    def __init__(self, contract: Contract, around_s: float, most_bytes: int = MOST_BYTES) -> None:
        self.start_line = ""  # the first of each case
        self._around_s = around_s
        # an event begins at most so long before it is announced
        late_s = max((spec.min_duration_s + spec.merge_gap_s for spec in contract.events.values()), default=0.0)
        self._back_s = around_s + contract.input.window_s + late_s
        self._ring = FrameRing(most_bytes)
        self._windows: deque[tuple[int, str, WindowResult]] = deque()
        self._explained: deque[ExplainedWindow] = deque()
        self._open: dict[int, _OpenCase] = {}
        self._records = 0

    def frame(self, shot: CompressedFrame) -> list[Case]:
        """Take a frame; returns what is whole now."""
        done = [self._close(number) for number, case in list(self._open.items()) if shot.t_s > case.until_s]
        if self._open and not self._ring.has_room(shot):
            oldest = min(self._open, key=lambda number: self._open[number].from_s)
            self._open[oldest].cut = "memory"
            done.append(self._close(oldest))
        since_s = min([shot.t_s - self._back_s, *(case.from_s for case in self._open.values())])
        self._ring.add(shot, since_s)
        while self._windows and self._windows[0][2].t_end_s < since_s:
            self._windows.popleft()
        while self._explained and self._explained[0].result.t_end_s < since_s:
            self._explained.popleft()
        return done

    def window(self, result: WindowResult, at: str | None) -> None:
        """Take the record of a window."""
        self._records += 1
        self._windows.append((self._records, to_line(result, at), result))

    def explained(self, window: ExplainedWindow) -> None:
        """Take a window's explanation."""
        self._explained.append(window)

    def event(self, event: Event, at: str | None, began_at: datetime | None) -> None:
        """Take a record of an event.

        Args:
            began_at: local time of its `t_start_s`.
        """
        self._records += 1
        from_s = max(event.t_start_s - self._around_s, 0.0)
        if event.phase == "start":
            until_s = event.t_start_s + LONGEST_S + self._around_s
            self._open[event.event] = _OpenCase(event, from_s, until_s, began_at)
        case = self._open.get(event.event)
        if case is None:  # written already
            return
        case.last, case.from_s = event, min(case.from_s, from_s)
        case.lines.append((self._records, to_line(event, at)))
        if event.phase == "end" and event.t_end_s + self._around_s <= case.until_s:
            case.until_s, case.cut = event.t_end_s + self._around_s, None

    def silent(self) -> list[Case]:
        """No frame has come for a while; returns the events that have ended."""
        return [self._break_off(number) for number, case in list(self._open.items()) if case.last.phase == "end"]

    def finish(self) -> list[Case]:
        """No frame will come any more; returns the rest."""
        return [self._break_off(number) for number in list(self._open)]

    def _break_off(self, number: int) -> Case:
        if self._open[number].until_s > self._ring.newest_s:
            self._open[number].cut = "stream"
        return self._close(number)

    def _close(self, number: int) -> Case:
        case = self._open.pop(number)
        from_s, until_s = case.from_s, min(case.until_s, self._ring.newest_s)

        def within(result: WindowResult) -> bool:
            return result.t_end_s > from_s and result.t_start_s < until_s

        lines = sorted([*case.lines, *((at, line) for at, line, result in self._windows if within(result))])
        return Case(
            event=case.last,
            at=case.at,
            cut=case.cut,
            shots=tuple(self._ring.between(from_s, until_s)),
            explained=tuple(window for window in self._explained if within(window.result)),
            lines=(self.start_line, *(line for _, line in lines)),
        )
