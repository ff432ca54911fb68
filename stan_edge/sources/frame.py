"""What a source delivers, and what every source can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""A picture, uint8 [H, W, 3], RGB."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    index: int
    """Frame number from 0; counts every frame of the source, also those that could not be delivered."""
    t_capture_s: float
    """Seconds since the first frame: presentation time for files, `time.monotonic` for cameras."""
    image: Image


class Source(Protocol):
    """Where frames come from: a camera, a file, a script."""

    @property
    def name(self) -> str:
        """What to call it in logs and errors; holds no credentials."""
        ...

    @property
    def live(self) -> bool:
        """True: frames arrive at their own pace and are lost unless someone reads."""
        ...

    def read(self) -> Frame | None:
        """Wait for the next frame; None once the stream has ended normally or was closed.

        Raises:
            SourceError: the source is lost, damaged, or delivers nothing.
        """
        ...

    def close(self) -> None:
        """Let go of the device or file. Safe to repeat, and while another thread is in `read`."""
        ...
