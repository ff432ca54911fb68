"""A sink that works in a thread of its own, so that nothing it does, or fails to do, holds up the camera."""

from __future__ import annotations

import logging

from stan_edge.records import Event, Record, WindowResult, time_of_day
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.message import EventMessages
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.worker import Worker

QUEUE_RECORDS = 1000
"""Records that wait for the thread."""
WINDOWS_SHARE = 0.5
"""Of the queue: windows may fill this much, so that there is room for events."""
FLUSH_S = 3.0
"""What is undelivered when the run ends gets this long."""

_logger = logging.getLogger(__name__)


class DeliveryWorker(Sink):
    """Takes records in the camera's thread and handles them in its own; events wait in an outbox until delivered.

    A subclass delivers `_outbox.first()` in `work`; it, `take`, `idle` and `leave` are called in the thread, and
    whatever they raise is logged and survived. Its `__init__` calls this one last, because the thread starts there.

    Args:
        name: what it is called in the log and in metrics.
        outbox: closed at the end.
    """

    def __init__(self, name: str, outbox: Outbox) -> None:
        self.name = name
        self.delivered = 0
        """Messages that the other side has."""
        self._outbox = outbox
        self._messages = EventMessages()
        self._missed = self._refused = 0
        self._worker: Worker[tuple[Record, str]] = Worker(
            name,
            self.work,
            take=lambda item: self.take(*item),
            capacity=QUEUE_RECORDS,
            done=self.idle,
            leave=self.leave,
        )
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Messages that are to be delivered."""
        return self._worker.waiting + len(self._outbox)

    @property
    def lost(self) -> int:
        """Messages and records that never will be delivered, for want of room or because they were refused."""
        return self._missed + self._refused + self._outbox.lost

    def take(self, record: Record, at: str) -> None:
        """A record, and the time of day at which it came; what is to be sent of an event goes into the outbox."""
        if isinstance(record, Event):
            lost = self._outbox.lost
            self._outbox.put(self._messages.of(record, at))
            if self._outbox.lost > lost:
                self._worker.complain("the outbox is full; updates, and then the oldest events, are lost.")

    def work(self) -> float | None:
        """Do what is due; returns in how many seconds there is more to do, None: when woken."""

    def idle(self) -> bool:
        """Whether nothing is left that waiting would deliver."""
        return True

    def leave(self) -> None:
        """The run has ended; let go of everything."""
        if self._outbox:
            kept = "they go out at the next start" if self._outbox.lasting else "they are lost; --outbox DIR keeps them"
            _logger.warning("%s: %d messages have not been delivered; %s.", self.name, len(self._outbox), kept)
        self._outbox.close()

    def record(self, record: Record) -> None:
        share = WINDOWS_SHARE if isinstance(record, WindowResult) else 1.0
        if not self._worker.put((record, time_of_day()), share=share):
            self._missed += 1
            # in this thread: the other may be stuck
            self._worker.complain("takes nothing for too long; records are lost.")

    def close(self) -> None:
        """Deliver what can be delivered within a few seconds."""
        if not self._worker.close(FLUSH_S):
            _logger.warning("%s: is stuck and was left behind with %d messages.", self.name, self.waiting)

    discard = close  # what happened did happen
