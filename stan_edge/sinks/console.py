"""The live terminal view: what is seen now, the last seconds of importance, the events so far."""

from __future__ import annotations

import threading
from collections import deque

from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stan_edge.model.contract import Contract, Method
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import End, Event, Load, Record, Start, Status, WindowResult
from stan_edge.sinks.base import Sink

BLOCKS = " ▁▂▃▄▅▆▇█"
SHOWN_FRAMES = 60
SHOWN_EVENTS = 6


class Screen:
    """One console for all cameras of a run: on a terminal their views below each other, redrawn in place.

    Args:
        several: there is more than one camera: every line says which it is of.
    """

    def __init__(self, console: Console, *, several: bool = False) -> None:
        self.console = console
        self.several = several
        self._views: list[ConsoleView] = []
        self._lock = threading.Lock()
        self._live = Live(console=console, refresh_per_second=10, get_renderable=self._draw, transient=True)

    def show(self, view: ConsoleView) -> None:
        """A camera begins."""
        with self._lock:
            self._views.append(view)
            if self.console.is_terminal and not self._live.is_started:
                self._live.start()

    def leave(self, view: ConsoleView) -> None:
        """A camera has ended."""
        with self._lock:
            self._views = [other for other in self._views if other is not view]
            if not self._views:
                self._live.stop()

    def say(self, camera: str, text: Text) -> None:
        """A line that stays."""
        self._live.console.print(
            Text.assemble((f"{camera}  ", "bold"), text) if self.several else text, highlight=False
        )

    def _draw(self) -> Group:
        return Group(*(part for view in list(self._views) for part in view.draw()))


class ConsoleView(Sink):
    """One camera. Piped, a line per event and a summary."""

    def __init__(self, screen: Screen, contract: Contract, method: Method) -> None:
        self._screen = screen
        self._contract = contract
        self._thresholds = contract.methods[method].thresholds
        self._start: Start | None = None
        self._window: WindowResult | None = None
        self._status: Status | None = None
        self._load: Load | None = None
        self._importance: deque[tuple[float, bool]] = deque(maxlen=SHOWN_FRAMES)
        self._events: dict[int, Event] = {}  # going on

    def record(self, record: Record) -> None:
        match record:
            case Start():
                self._start = record
                self._screen.show(self)
                if not self._screen.console.is_terminal:
                    self._screen.console.print(_headline(record), highlight=False)
            case Status():
                self._status = record
                self._screen.say(record.camera, _status_line(record))
            case Load():
                self._load = record
                self._screen.say(record.camera, _load_line(record))
            case WindowResult():
                self._window = record
            case Event(phase="end"):
                self._events.pop(record.event, None)
                self._screen.say(record.camera, _event_line(record))
            case Event():
                self._events[record.event] = record
                if record.phase == "start" and not self._screen.console.is_terminal:
                    self._screen.say(record.camera, _event_line(record))
            case End():
                self._screen.leave(self)
                self._screen.say(record.camera, _summary(record))

    def timeline(self, frames: list[TimelineFrame]) -> None:
        for frame in frames:
            self._importance.append((frame.importance or 0.0, frame.is_important(self._thresholds)))

    def close(self) -> None:
        self._screen.leave(self)

    discard = close

    def draw(self) -> list[Text | Table]:
        """What is shown of this camera now."""
        parts: list[Text | Table] = []
        if self._start:
            parts.append(_headline(self._start))
        if self._load and self._load.level != "full":
            parts.append(_load_line(self._load))
        if self._status and self._status.state != "online":
            parts.append(_status_line(self._status))
        elif self._window:
            parts += [self._state(self._window), self._probabilities(self._window)]
        bar = Text("importance  ")
        for value, important in list(self._importance):  # drawn in another thread
            bar.append(BLOCKS[min(int(value * 8 + 0.5), 8)], "bold red" if important else "cyan")
        parts.append(bar)
        return [*parts, *map(_event_line, list(self._events.values())[-SHOWN_EVENTS:])]

    def _state(self, window: WindowResult) -> Text:
        head = f"{window.t_end_s:7.1f} s  person {window.person:8s} {window.latency_ms:5.0f} ms  "
        if not window.valid:
            return Text.assemble(head, (f"no verdict: {window.reason}", "yellow"))
        alarm = window.label in self._contract.alarms
        return Text.assemble(head, (f"{window.label} {window.probability or 0:.2f}", "bold red" if alarm else "green"))

    def _probabilities(self, window: WindowResult) -> Table:
        table = Table.grid(padding=(0, 1))
        for name, probability in (window.probabilities or {}).items():
            color = "red" if name in self._contract.alarms else "green"
            table.add_row(name, f"{probability:.2f}", Bar(1.0, 0.0, probability, width=40, color=color))
        return table


def _headline(start: Start) -> Text:
    text = Text.assemble((start.camera, "bold"), f"  {start.model} on {start.backend} {start.precision}, ")
    text.append(f"{start.method}, {start.view} view")
    if start.fallback:
        text.append("  FALLBACK: not the backend that was asked for", "bold yellow")
    if not start.calibrated:
        text.append("  not calibrated: importance is relative within each window", "yellow")
    return text


def _summary(end: End) -> Text:
    counts = end.windows
    text = Text(f"{end.frames} frames, {counts.done - counts.unexplained} of {counts.due} windows explained")
    for what, number in (("only labelled", counts.unexplained), ("invalid", counts.invalid), ("shed", counts.shed)):
        if number:
            text.append(f", {number} {what}", "yellow")
    for cause, number in end.dropped.items():
        text.append(f", {number} frames dropped ({cause})", "yellow")
    return text.append(f"; {end.reason.replace('_', ' ')}")


def _status_line(status: Status) -> Text:
    attempts = f" (attempt {status.attempt})" if status.attempt > 1 else ""
    text = Text(
        f"{status.t_s:7.1f} s  camera {status.state}{attempts}", "green" if status.state == "online" else "yellow"
    )
    return text.append(f": {status.reason}" if status.reason else "")


_DONE = {
    "full": "every window is explained by {}",
    "half_rate_detection": "the person is looked for half as often",
    "cheaper_method": "every window is explained by {}",
    "explain_every_second": "every second window is explained by {}",
    "labels_only": "windows are only labelled",
    "every_second_window": "every second window is left out",
}


def _load_line(load: Load) -> Text:
    text = f"{load.t_s:7.1f} s  {load.reason}: {_DONE[load.level].format(load.method)}"
    return Text(text, "green" if load.level == "full" else "yellow")


def _event_line(event: Event) -> Text:
    span = f"{event.t_start_s:.1f} to {event.t_end_s:.1f} s"
    return Text.assemble(
        ("● " if event.phase != "end" else "○ ", "bold red"),
        (event.label, "bold"),
        f"  {span}, peak {event.peak_probability:.2f}, {len(event.important_frames)} important frames",
        "" if event.phase == "end" else " ...",
    )
