"""Are the cameras' loops alive, and do they see? For those who restart or route around them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stan_edge.person.tracking import Region
from stan_edge.records import End, Record, Start, Status
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame

LIVE_S = 30.0
"""The loop turns several times a second; a window costs well under one."""
READY_S = 10.0


class Health(Sink):
    """Notes when the loop of a camera turned and when a frame came."""

    def __init__(self, camera: str = "camera") -> None:
        self.camera = camera
        self._turned_s = time.monotonic()
        self._frame_s: float | None = None
        self._running = self._ended = False
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
        """The loop turned lately, or need not turn any more."""
        return self._ended or self.loop_age_s <= LIVE_S

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
            self._running, self._ended = isinstance(record, Start), isinstance(record, End)
        elif isinstance(record, Status) and record.state != "stalled":  # for a moment of silence there is `READY_S`
            self._away = record.state != "online"


def live(cameras: Sequence[Health]) -> tuple[bool, dict[str, object]]:
    """Whether every loop turns, and the body of that answer."""
    worst_s = max(camera.loop_age_s for camera in cameras)
    return _answer([camera.live for camera in cameras], cameras, {"loop_age_s": round(worst_s, 3)})


def ready(cameras: Sequence[Health]) -> tuple[bool, dict[str, object]]:
    """Whether every camera sees, and the body of that answer."""
    ages_s = [camera.frame_age_s for camera in cameras]
    known_s = [age_s for age_s in ages_s if age_s is not None]
    worst_s = round(max(known_s), 3) if len(known_s) == len(cameras) else None
    return _answer([camera.ready for camera in cameras], cameras, {"frame_age_s": worst_s})


def _answer(good: list[bool], cameras: Sequence[Health], age: dict[str, object]) -> tuple[bool, dict[str, object]]:
    """As bad as the worst of them."""
    bad = [camera.camera for camera, is_good in zip(cameras, good, strict=True) if not is_good]
    return not bad, {"ok": not bad} | age | ({"bad": bad} if bad and len(cameras) > 1 else {})
