"""Pictures that follow each other in time as an mp4 that is whole or not there."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stan_edge.files import part_of, replacing
from stan_edge.types import Image


class VideoWriter:
    """Writes pictures at a steady rate; the first one decides the size, and without any there is no file.

    The file takes its name at `close`, once it has been read back; in a `with` block, where that ends well.

    Raises:
        OSError: the file cannot be written, at `write`, or what was written cannot be read back, at `close`. Nothing is
            left behind.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, image: Image, slots: int = 1) -> None:
        """Show a picture (RGB) for so many of the video's slots of `1 / fps` seconds."""
        if self._video is None:
            self._size = (image.shape[1], image.shape[0])
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(part_of(self._path)), codec, self._fps, self._size)
            if not self._video.isOpened():
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(self._path))
        picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        picture = cv2.resize(picture, self._size)  # one of another size would be left out without a word
        for _ in range(slots):
            self._video.write(picture)
        self._written += slots

    def close(self) -> None:
        """Put the file in place."""
        if self._video is None:
            return
        self._video.release()
        with replacing(self._path) as part:
            found = round(cv2.VideoCapture(str(part)).get(cv2.CAP_PROP_FRAME_COUNT))
            if found != self._written:  # the encoder never says that the disk was full
                raise OSError(errno.EIO, f"{found} of {self._written} pictures can be read back", str(self._path))
        self._video = None

    def discard(self) -> None:
        """Break off; nothing is left."""
        if self._video is not None:
            self._video.release()
        part_of(self._path).unlink(missing_ok=True)


def slots_of(times_s: Sequence[float], fps: float) -> list[int]:
    """For how many slots of a video each picture shows, so that the video keeps their times: a gap shows the picture
    before it, and of several in one slot all but the newest get 0.

    Args:
        times_s: when they were taken, in order.
    """
    if not times_s:
        return []
    # a slot shows the newest picture that was taken until its middle
    slots = np.round((np.array(times_s) - times_s[0]) * fps).astype(int)
    return [*np.diff(slots).tolist(), 1]
