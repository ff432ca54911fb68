"""A folder of pictures, played as a film."""

from __future__ import annotations

import re
from pathlib import Path

from stan_edge.errors import ConfigError, SourceDecodeError, SourceNotFoundError
from stan_edge.sources.frame import Frame
from stan_edge.sources.opencv import quiet_cv2
from stan_edge.types import Image

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class ImageFolder:
    """The pictures of a folder in the order of their names, 2.png before 10.png. Folders inside are left out.

    The rate must be said: the times of files are those of the last copy more often than those of the pictures.

    Raises:
        SourceNotFoundError: there are no pictures in it.
        ConfigError: there is no `fps`.
        SourceDecodeError: from `read`, a picture cannot be decoded.
    """

    live = False

    def __init__(self, path: Path, fps: float | None) -> None:
        self.name = str(path)
        self._cv2 = quiet_cv2()
        pictures = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        self._paths = sorted(pictures, key=_natural)
        if not self._paths:
            raise SourceNotFoundError(
                f"{path} is a folder without pictures ({', '.join(SUFFIXES)}); give one video file or a folder of "
                "pictures."
            )
        if fps is None:
            raise ConfigError(f"{path} is a folder of pictures, which do not say how fast they follow; add --fps.")
        self._fps = fps
        self._index = 0

    def read(self) -> Frame | None:
        """The next picture, or None after the last one."""
        if self._index >= len(self._paths):
            return None
        path, index = self._paths[self._index], self._index
        self._index += 1
        # `imread` says nothing of a file that may not be read, and raises for one that claims too large a picture
        try:
            bgr = self._cv2.imread(str(path), self._cv2.IMREAD_COLOR)
        except self._cv2.error:
            bgr = None
        if bgr is None:
            raise SourceDecodeError(f"{path} is not a picture that can be read; remove it or copy it again.")
        image: Image = self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB)
        return Frame(index, index / self._fps, image)

    def close(self) -> None:
        """End the film."""
        self._index = len(self._paths)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers by their value, the rest by its letters."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
