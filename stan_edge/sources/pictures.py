"""Pictures that a program holds or makes, as a source."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from stan_edge.errors import ConfigError
from stan_edge.sources.frame import Frame
from stan_edge.types import Image


class Pictures:
    """Pictures at a steady rate, taken one by one.

    Args:
        pictures: RGB, uint8 `[H, W, 3]` each, all of one size, in order.
        fps: their rate.

    Raises:
        ConfigError: the rate is none; from `read`, a picture is none.
    """

    name, live = "pictures", False

    def __init__(self, pictures: Iterable[Image], fps: float) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ConfigError(f"fps {fps:g}: give a rate above 0.")
        self._frames = (Frame(k, k / fps, checked_picture(picture, k)) for k, picture in enumerate(pictures))

    def read(self) -> Frame | None:
        """The next picture as a frame; None after the last one."""
        return next(self._frames, None)

    def close(self) -> None:
        """Nothing to let go of."""


def checked_picture(image: Image, number: int) -> Image:
    """A copy of a picture, as a program may overwrite its own while windows still hold it.

    Raises:
        ConfigError: it is no picture.
    """
    picture = np.array(image)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ConfigError(
            f"Picture {number} is {picture.dtype} of shape {picture.shape}; give uint8 [height, width, 3], RGB."
        )
    return picture
