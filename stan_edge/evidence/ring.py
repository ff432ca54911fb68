"""The last seconds of a camera, in memory: small, compressed, and never more than so many bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from stan_edge.reports.drawing import jpeg, scale_to
from stan_edge.sources import Frame
from stan_edge.types import Image

WIDTH_PX = 640
JPEG_QUALITY = 90
MOST_BYTES = 64 << 20
"""About a minute of a camera with 30 frames a second."""


@dataclass(frozen=True, eq=False)
class CompressedFrame:
    """One frame, at most `WIDTH_PX` wide."""

    index: int
    t_s: float
    jpeg: bytes
    scale: float
    """Pixels per pixel of the source frame."""

    @classmethod
    def of(cls, frame: Frame) -> CompressedFrame:
        """Compress a frame: 1.5 ms for 640x360."""
        scale = min(WIDTH_PX / frame.image.shape[1], 1.0)
        image = scale_to(frame.image, WIDTH_PX) if scale < 1 else frame.image
        return cls(frame.index, frame.t_capture_s, jpeg(image, JPEG_QUALITY), scale)

    def picture(self) -> Image:
        """The picture, RGB."""
        pixels = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


class FrameRing:
    """The newest frames of a camera, in order."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._shots: deque[CompressedFrame] = deque()
        self.used_bytes = 0

    @property
    def newest_s(self) -> float:
        """When the newest one was taken; -1 without any."""
        return self._shots[-1].t_s if self._shots else -1.0

    def has_room(self, shot: CompressedFrame) -> bool:
        """Whether it can be added without another one going before its time."""
        return self.used_bytes + len(shot.jpeg) <= self._most_bytes

    def add(self, shot: CompressedFrame, since_s: float) -> None:
        """Take a frame; those of before `since_s` go, and whatever there is no room for."""
        self._shots.append(shot)
        self.used_bytes += len(shot.jpeg)
        while len(self._shots) > 1 and (self._shots[0].t_s < since_s or self.used_bytes > self._most_bytes):
            self.used_bytes -= len(self._shots.popleft().jpeg)

    def between(self, from_s: float, until_s: float) -> list[CompressedFrame]:
        return [shot for shot in self._shots if from_s <= shot.t_s <= until_s]
