"""Time as cameras and the runtime see it; `stan_bench.simulation` has a clock by which an hour passes at once."""

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


SYSTEM_CLOCK = SystemClock()
