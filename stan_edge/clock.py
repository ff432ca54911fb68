"""Time as cameras and the runtime see it: this machine's, or a simulated one in which an hour passes at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What tells the time, and the one way to wait."""

    def now_s(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `ready()`, which is asked again after every `notify`, at most `timeout_s`; its last answer."""
        ...

    def notify(self) -> None:
        """Something that a `ready` looks at has changed."""
        ...


class SystemClock:
    """`time.monotonic`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def now_s(self) -> float:
        return time.monotonic()

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(ready, max(0.0, timeout_s))

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


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


SYSTEM_CLOCK = SystemClock()
