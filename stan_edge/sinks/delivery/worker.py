"""A sink that works in a thread of its own, so that nothing it does, or fails to do, holds up the camera."""

from __future__ import annotations

import logging

from stan_edge.records import Record, WindowResult, time_of_day
from stan_edge.sinks.base import Sink
from stan_edge.worker import QueueWorker

QUEUE_RECORDS = 1000
"""Records that wait for the thread."""
WINDOWS_SHARE = 0.5
"""Of the queue: windows may fill this much, so that there is room for events."""
FLUSH_S = 3.0
"""What is undelivered when the run ends gets this long."""

_logger = logging.getLogger(__name__)


class DeliveryWorker(Sink):
    """Takes records in the camera's thread and handles them in its own.

    A subclass says what to do in `take`, `work`, `idle` and `leave`, all called in its thread; whatever they raise is
    logged and survived. Its `__init__` calls this one last, because the thread starts there.

    Args:
        name: what it is called in the log and in metrics.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.delivered = 0
        """Messages that the other side has."""
        self._missed = 0
        self._worker: QueueWorker[tuple[Record, str]] = QueueWorker(
            name, QUEUE_RECORDS, lambda item: self.take(*item), self.work, done=self.idle, leave=self.leave
        )
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Messages that are to be delivered."""
        return self._worker.waiting

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
        self._worker.wake()

    def complain(self, sentence: str) -> None:
        """Log a warning, but not again and again."""
        self._worker.complain(sentence)

    def record(self, record: Record) -> None:
        share = WINDOWS_SHARE if isinstance(record, WindowResult) else 1.0
        if not self._worker.put((record, time_of_day()), share=share):
            self._missed += 1
            self.complain("takes nothing for too long; records are lost.")  # in this thread: the other may be stuck

    def close(self) -> None:
        """Deliver what can be delivered within a few seconds."""
        if not self._worker.close(FLUSH_S):
            _logger.warning("%s: is stuck and was left behind with %d messages.", self.name, self.waiting)

    def discard(self) -> None:
        self.close()  # what happened did happen
