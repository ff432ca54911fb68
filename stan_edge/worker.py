"""A thread for what must not hold up whoever asks for it: slow disks, networks that do not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from stan_edge.log import RateLimit

Item = TypeVar("Item")
Step = Callable[[], float | None]

RETRY_S = 5.0
"""After a step that raised."""
POLL_S = 0.05
"""Between steps while it is being closed."""
LEAVE_S = 1.0
"""What `leave` gets on top of the time that `close` gives."""

_logger = logging.getLogger(__name__)


class Worker(Generic[Item]):
    """Repeats a step in a daemon thread: whenever it is woken, and when the step itself asks for it.

    What a step raises is logged, and the thread goes on. Items may be queued for it.

    Args:
        name: in the log and of the thread.
        step: does what is due; returns in how many seconds it is to be called again, None: when woken.
        take: handles one queued item; those that wait come before the step.
        capacity: items that wait at most.
        done: whether nothing is left, but the queue, that waiting would finish; asked while it is being closed.
        leave: called once, at the end. All of them are called in the thread.
    """

    def __init__(
        self,
        name: str,
        step: Step = lambda: None,
        *,
        take: Callable[[Item], None] = lambda _: None,
        capacity: int = 0,
        done: Callable[[], bool] = lambda: True,
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.changed = threading.Condition()
        """Guards what the owner shares with the thread; `wake` may be called with it held."""
        self._step = step
        self._take = take
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._done = done
        self._leave = leave
        self._woken = False
        self._deadline_s: float | None = None
        self._rate = RateLimit()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin with a step."""
        self._thread.start()

    def wake(self) -> None:
        """Have the step called soon; from any thread."""
        with self.changed:
            self._woken = True
            self.changed.notify_all()

    @property
    def waiting(self) -> int:
        """Items that the thread has not taken yet."""
        return len(self._items)

    def put(self, item: Item, *, share: float = 1.0, timeout_s: float = 0.0) -> bool:
        """Whether there was room, or came to be within the time.

        Args:
            share: of the capacity that items of this kind may fill, so that there is room for others.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: len(self._items) < share * self._capacity, timeout_s):
                return False
            self._items.append(item)
            self.wake()
            return True

    def close(self, limit_s: float) -> bool:
        """Go on until `done`, for at most `limit_s`, and end; False: a step is stuck, and the thread was left behind.
        Safe to repeat."""
        with self.changed:
            self._deadline_s = time.monotonic() + limit_s
            self.wake()
        self._thread.join(limit_s + LEAVE_S)
        return not self.alive

    def complain(self, sentence: str, error: Exception | None = None) -> None:
        """Log a warning, but not again and again."""
        if self._rate.allows(sentence):
            _logger.warning("%s: %s", self.name, sentence, exc_info=error)

    def _guarded(self, step: Step) -> float | None:
        try:
            return step()
        except Exception as error:  # one failure must not cost the next item, nor the other sinks
            self.complain(f"{type(error).__name__}: {error}; going on.", error)
            return RETRY_S

    def _run(self) -> None:
        wait_s: float | None = 0.0
        while True:
            with self.changed:
                if self._deadline_s is not None:
                    wait_s = POLL_S if wait_s is None else min(wait_s, POLL_S)
                self.changed.wait_for(lambda: self._woken, wait_s)
                self._woken = False
                deadline_s = self._deadline_s
            for _ in range(len(self._items)):  # not those that come meanwhile: the step is due, too
                with self.changed:
                    item = self._items.popleft()
                    self.changed.notify_all()
                self._guarded(partial(self._take, item))
            wait_s = self._guarded(self._step)
            if deadline_s is not None:
                done = not self._items and self._guarded(self._done)
                if done or time.monotonic() >= deadline_s:
                    break
        self._guarded(self._leave)
