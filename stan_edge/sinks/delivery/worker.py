"""A sink that works in a thread of its own, so that nothing it does, or fails to do, holds up the camera."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from stan_edge.log import Say
from stan_edge.records import Record, WindowResult, time_of_day
from stan_edge.sinks.base import Sink

TRAY_RECORDS = 1000
"""Records that wait for the thread; windows may fill half of it, so that there is room for events."""
FLUSH_S = 3.0
"""What is undelivered when the run ends gets this long."""
RETRY_S = 5.0
REPEAT_S = 60.0
"""A complaint is repeated at most this often."""


class DeliveryWorker(Sink):
    """Takes records in the camera's thread and handles them in its own.

    A subclass says what to do in `take`, `work`, `idle` and `leave`, all called in its thread; whatever they raise is
    said and survived. Its `__init__` calls this one last, because the thread starts there.

    Args:
        name: what it is called in sentences and metrics.
    """

    def __init__(self, name: str, say: Say) -> None:
        self.name = name
        self.delivered = 0
        """Messages that the other side has."""
        self._say = say
        self._said: dict[str, float] = {}
        self._missed = 0
        self._tray: deque[tuple[Record, str]] = deque()
        self._changed = threading.Condition()
        self._woken = False
        self._deadline_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Messages that are to be delivered."""
        return len(self._tray)

    @property
    def lost(self) -> int:
        """Messages and records that never will be delivered, for want of room or because they were refused."""
        return self._missed

    def take(self, record: Record, at: str) -> None:
        """A record, and the time of day at which it came."""

    def work(self) -> float | None:
        """Do what is due; returns in how many seconds there is more to do, None: when woken."""

    def idle(self) -> bool:
        """Whether nothing is left that waiting would deliver."""
        return True

    def leave(self) -> None:
        """The run has ended; let go of everything."""

    def wake(self) -> None:
        """Have `work` called soon; from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def record(self, record: Record) -> None:
        at = time_of_day()
        room = TRAY_RECORDS // 2 if isinstance(record, WindowResult) else TRAY_RECORDS
        with self._changed:
            full = len(self._tray) >= room
            if full:
                self._missed += 1
            else:
                self._tray.append((record, at))
                self._changed.notify()
        if full:  # said here: the other thread may be stuck
            self.complain("takes nothing for too long; records are lost.")

    def close(self) -> None:
        """Deliver what can be delivered within a few seconds."""
        with self._changed:
            self._deadline_s = time.monotonic() + FLUSH_S
            self._woken = True
            self._changed.notify()
        self._thread.join(FLUSH_S + 1.0)
        if self._thread.is_alive():
            self._say(f"{self.name}: is stuck and was left behind with {self.waiting} messages.")

    def discard(self) -> None:
        self.close()  # what happened did happen

    def complain(self, sentence: str) -> None:
        """Say a sentence, but not again and again."""
        now_s = time.monotonic()
        if now_s - self._said.get(sentence, -REPEAT_S) >= REPEAT_S:
            self._said = {known: at_s for known, at_s in self._said.items() if now_s - at_s < REPEAT_S}
            self._said[sentence] = now_s
            self._say(f"{self.name}: {sentence}")

    def _run(self) -> None:
        wait_s: float | None = 0.0
        while True:
            with self._changed:
                if self._deadline_s is not None:
                    wait_s = 0.05 if wait_s is None else min(wait_s, 0.05)
                self._changed.wait_for(lambda: self._tray or self._woken, wait_s)
                self._woken = False
                deadline_s = self._deadline_s
            while self._tray:
                record, at = self._tray.popleft()
                self._guarded(partial(self.take, record, at))
            wait_s = self._guarded(self.work)
            if deadline_s is not None and (time.monotonic() >= deadline_s or self._guarded(self.idle)):
                break
        self._guarded(self.leave)

    def _guarded(self, step: Callable[[], float | None]) -> float | None:
        try:
            return step()
        except Exception as error:  # one failing sink must not cost the others, nor this one the next record
            self.complain(f"{type(error).__name__}: {error}; going on.")
            return RETRY_S
