"""What other systems are told of an event, and the ids by which they know a repetition."""

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
    spare: bool
    """An update: the first to go when there is no room."""


def event_id(run: str, event: Event) -> str:
    """The same for every phase of an event, and for every sink of a run.

    Args:
        run: what no other run of a camera is called.
    """
    return f"{run}-{event.event}"


class EventMessages:
    """Makes a message of each phase of the events of one camera.

    Args:
        run: see `event_id`.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._told: dict[int, int] = {}  # phases, by event

    def of(self, event: Event, at: str) -> Message:
        """The next message about an event.

        Args:
            at: the time of day at which it was seen.
        """
        sequence = self._told.pop(event.event, 0)
        if event.phase != "end":
            self._told[event.event] = sequence + 1
        identity = event_id(self._run, event)
        body = event.to_json() | {"id": identity, "sequence": sequence, "at": at}
        return Message(
            key=f"{identity}-{sequence}",
            body=json.dumps(body, allow_nan=False).encode(),
            spare=event.phase == "update",
        )
