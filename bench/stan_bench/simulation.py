"""An hour of a camera that fails and comes back, in seconds: a clock that jumps, and a camera that plays by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from stan_bench.scripted import Moment, Off, Step, play
from stan_edge.clock import Clock
from stan_edge.errors import SourceStalledError
from stan_edge.sources import Frame, Source

_ENDED_S = 0.02
"""How often it is looked, in real time, whether a thread has ended: that notifies nobody."""


class SimulatedClock:
    """Stands still while anybody works, and jumps to the next deadline once everybody waits.

    The same script takes the same course every time, however slow the machine.

    Args:
        threads: how many use it, until they end. A watched camera has two: the one that reads it and the one that
            infers.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._now_s = 0.0
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, Callable[[], bool]]] = []
        self._known: set[threading.Thread] = set()

    def now_s(self) -> float:
        with self._changed:
            return self._now_s

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            entry = (self._now_s + max(0.0, timeout_s), ready)
            self._waiting.append(entry)
            self._known.add(threading.current_thread())
            try:
                while not ready() and self._now_s < entry[0]:
                    next_s = min(until_s for until_s, _ in self._waiting)
                    ended = sum(not thread.is_alive() for thread in self._known)
                    working = len(self._waiting) + ended < self._threads or any(other() for _, other in self._waiting)
                    if working or next_s <= self._now_s:  # or is about to: it is due but not awake yet
                        self._changed.wait(_ENDED_S)
                    else:
                        self._now_s = next_s
                        self._changed.notify_all()
                return ready()
            finally:
                self._waiting.remove(entry)

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class ScriptedCamera:
    """Plays its steps once, by a clock that goes on whether anybody is connected or not.

    Reconnecting(camera.name, camera.open, clock=clock) watches it as it would a real one.

    Args:
        read_timeout_s: a connection that delivers nothing for this long raises SourceStalledError.

    Raises:
        ConfigError: a step that cannot be played.
    """

    def __init__(
        self, steps: Sequence[Step], clock: Clock, *, name: str = "script", read_timeout_s: float = 5.0
    ) -> None:
        self.name = name
        self.opened_s: list[float] = []
        """When it was tried to open it, in seconds of the script."""
        self.read_timeout_s = read_timeout_s
        self.clock = clock
        self._moments = play(steps)
        self._next = next(self._moments)
        self._start_s = clock.now_s()
        self._off: Off | None = None
        self._off_until_s = 0.0

    def now_s(self) -> float:
        """Seconds of the script."""
        return self.clock.now_s() - self._start_s

    def open(self) -> Source:
        """Connect.

        Raises:
            SourceError: the error of an `Off` step, while it lasts.
        """
        now_s = self.now_s()
        self.opened_s.append(now_s)
        while self._is_past(now_s):
            self.take()
        if self._off is not None and now_s < self._off_until_s:
            raise self._off.error
        return _Connection(self)

    def peek(self) -> Moment:
        """What happens next."""
        return self._next

    def take(self) -> None:
        """It has happened."""
        if isinstance(self._next.failure, Off):
            self._off = self._next.failure
            self._off_until_s = self._next.due_s + self._off.duration_s
        self._next = next(self._moments, self._next)

    def _is_past(self, now_s: float) -> bool:
        """Frames that nobody was there to see are lost, and so are failures; the end is not."""
        moment = self._next
        off_now = isinstance(moment.failure, Off) and moment.due_s <= now_s
        return off_now or (moment.due_s < now_s and (moment.frame is not None or moment.failure is not None))


class _Connection:
    live = True

    def __init__(self, camera: ScriptedCamera) -> None:
        self.name = camera.name
        self._camera = camera
        self._first: Frame | None = None
        self._closed = False

    def read(self) -> Frame | None:
        moment, clock, timeout_s = self._camera.peek(), self._camera.clock, self._camera.read_timeout_s
        wait_s = moment.due_s - self._camera.now_s()
        if clock.wait(lambda: self._closed, min(wait_s, timeout_s)) or self._closed:
            return None
        if wait_s > timeout_s:
            raise SourceStalledError(f"{self.name} has delivered nothing for {timeout_s:.1f} s.")
        self._camera.take()
        if moment.failure is not None:
            raise moment.failure.error
        frame = moment.frame
        if frame is None:
            return None
        self._first = self._first or frame
        return replace(
            frame, index=frame.index - self._first.index, t_capture_s=frame.t_capture_s - self._first.t_capture_s
        )

    def close(self) -> None:
        self._closed = True
        self._camera.clock.notify()
