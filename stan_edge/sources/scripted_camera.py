"""A camera with a life of its own: it can be opened, fails, is off for a while, and comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stan_edge.clock import Clock
from stan_edge.errors import SourceStalledError
from stan_edge.sources.frame import Frame, Source
from stan_edge.sources.scripted import Moment, Off, Step, play


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
