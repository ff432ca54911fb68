"""What a source delivers, and what every source must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from stan_edge.records import Status
from stan_edge.types import Image


@dataclass(frozen=True)
class Segment:
    """A stretch of a stream without a break; a window that holds frames of two is invalid."""

    number: int = 0
    began: Literal["start", "reconnect", "clock"] = "start"
    """`clock`: the times of the source jumped."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    index: int
    """Frame number from 0; counts every frame of the source, also those that could not be delivered."""
    t_capture_s: float
    """Seconds since the first frame, never falling: presentation time for files, arrival for cameras."""
    image: Image
    damaged: bool = False
    """It could not be decoded; `image` is the one before."""
    segment: Segment = Segment()


class Feed(Protocol):
    """Delivers frames, and between them how the camera is: what a run reads."""

    @property
    def name(self) -> str:
        """For records, logs and errors; holds no credentials."""
        ...

    @property
    def live(self) -> bool:
        """True: frames arrive at their own pace and are lost unless someone reads."""
        ...

    def read(self) -> Frame | Status | None:
        """Wait for the next one; None once the stream has ended normally or was closed.

        Raises:
            SourceError: the source is lost, damaged, or delivers nothing.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file. Safe to repeat, and while another thread is in `read`; never waits for it."""
        ...


class Source(Feed, Protocol):
    """Delivers frames only: one connection to a camera, a file, a script."""

    def read(self) -> Frame | None: ...
