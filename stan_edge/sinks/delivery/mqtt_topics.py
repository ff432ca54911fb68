"""The MQTT topics of a camera; what is published on them is in `mqtt`."""

from __future__ import annotations

from stan_edge.files import plain_name


class Topics:
    """`<prefix>/<camera>/event`, `state`, `availability` and `window`.

    - `event`: every phase of every event, in order, QoS 1; the next one goes when the broker has the one before.
      A repetition after an outage has the same `id` and `sequence`.
    - `state`: what is the case, retained: label, probability, alarms that are on, what is left out to stay on time.
    - `availability`: `online` or `offline`, retained; the broker itself says `offline` when the connection breaks.
    - `window`: verdicts, thinned out, not kept for a broker that is away.

    What is retained is sent with QoS 0, and anew on every connection: a repetition by QoS 1 would bring an old state
    back.

    Args:
        prefix: the first levels of this process' topics.
    """

    def __init__(self, prefix: str, camera: str) -> None:
        self.prefix = prefix
        names = ("event", "state", "availability", "window")
        self.event, self.state, self.availability, self.window = (
            f"{prefix}/{plain_name(camera)}/{name}" for name in names
        )
