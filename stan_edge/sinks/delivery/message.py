"""What is sent to other systems about an event, and the ids by which they know a repetition."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stan_edge.records import Event


@dataclass(frozen=True)
class Message:
    """One phase of an event, ready to send."""

    key: str
    """No other message has it, in no other run: whoever receives it twice may drop the second."""
    body: bytes
    """A JSON object."""
    droppable: bool
    """An update: the first to go when there is no room."""


class EventMessages:
    """Makes a message of each phase of the events of one camera."""

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}  # phases so far, by event

    def of(self, event: Event, at: str) -> Message:
        """The next message about an event, which was seen at this time of day."""
        sequence = self._sent.pop(event.event, 0)
        if event.phase != "end":
            self._sent[event.event] = sequence + 1
        body = event.to_json() | {"sequence": sequence, "at": at}
        return Message(
            f"{event.id}-{sequence}", json.dumps(body, allow_nan=False).encode(), droppable=event.phase == "update"
        )
