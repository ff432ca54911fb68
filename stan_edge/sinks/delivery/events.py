"""A delivery whose events wait in an outbox until the other side has them."""

from __future__ import annotations

import logging

from stan_edge.records import Event
from stan_edge.sinks.delivery.message import EventMessages
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker

_logger = logging.getLogger(__name__)


class EventDelivery(DeliveryWorker):
    """Makes a message of each phase of an event and keeps it; a subclass delivers `_outbox.first()` in `work`.

    Args:
        outbox: where events wait; closed at the end.
    """

    def __init__(self, name: str, outbox: Outbox) -> None:
        self._outbox = outbox
        self._messages = EventMessages()
        super().__init__(name)

    @property
    def waiting(self) -> int:
        return super().waiting + len(self._outbox)

    @property
    def lost(self) -> int:
        return super().lost + self._outbox.lost

    def keep(self, event: Event, at: str) -> None:
        """Put the next message about an event into the outbox."""
        lost = self._outbox.lost
        self._outbox.put(self._messages.of(event, at))
        if self._outbox.lost > lost:
            self.complain("the outbox is full; updates, and then the oldest events, are lost.")

    def leave(self) -> None:
        if self._outbox:
            kept = "they go out at the next start" if self._outbox.lasting else "they are lost; --outbox DIR keeps them"
            _logger.warning("%s: %d messages have not been delivered; %s.", self.name, len(self._outbox), kept)
        self._outbox.close()
