"""Is the loop alive, and does it see? For those who restart or route around it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from stan_edge.person import Region
from stan_edge.records import End, Record, Start, Status
from stan_edge.sinks import Sink
from stan_edge.sources import Frame

LIVE_S = 30.0
"""The loop turns several times a second; a window costs well under one."""
READY_S = 10.0


class Health(Sink):
    """Notes when the loop turned and when a frame came."""

    def __init__(self) -> None:
        self._turned_s = time.monotonic()
        self._frame_s: float | None = None
        self._running = False
        self._away = False

    @property
    def loop_age_s(self) -> float:
        """Since the loop turned last; before the first time, since the start."""
        return time.monotonic() - self._turned_s

    @property
    def frame_age_s(self) -> float | None:
        """Since the last frame came; None: none came."""
        return None if self._frame_s is None else time.monotonic() - self._frame_s

    @property
    def live(self) -> bool:
        """The loop turned lately."""
        return self.loop_age_s <= LIVE_S

    @property
    def ready(self) -> bool:
        """The model is loaded, the camera is not known to be lost, and a frame came lately."""
        age_s = self.frame_age_s
        return self._running and not self._away and age_s is not None and age_s <= READY_S

    def turn(self, dropped: Mapping[str, int]) -> None:
        self._turned_s = time.monotonic()

    def frame(self, frame: Frame, region: Region) -> None:
        self._frame_s = time.monotonic()

    def record(self, record: Record) -> None:
        if isinstance(record, Start | End):
            self._running = isinstance(record, Start)
        elif isinstance(record, Status) and record.state != "stalled":  # for a moment of silence there is `READY_S`
            self._away = record.state != "online"
