"""The part of the picture that is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from stan_edge.errors import ConfigError
from stan_edge.sources.frame import Frame, Source
from stan_edge.types import Image


@dataclass(frozen=True)
class Crop:
    """A rectangle in frame pixels."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read `x,y,width,height`.

        Raises:
            ConfigError: it is not four whole numbers, or the rectangle is empty.
        """
        match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text, re.ASCII)
        if match is None:
            raise ConfigError(
                f"{text!r} is not x,y,width,height in pixels; write it like 320,0,320,240.", field="cameras.crop"
            )
        crop = cls(*(int(part) for part in match.groups()))
        if crop.width_px == 0 or crop.height_px == 0:
            raise ConfigError(f"{text!r} is empty; width and height must be at least 1.", field="cameras.crop")
        return crop

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.x_px},{self.y_px},{self.width_px},{self.height_px}"

    def apply(self, image: Image) -> Image:
        """Cut the rectangle out of an [H, W, 3] image (a view, not a copy).

        Raises:
            ConfigError: the rectangle does not lie inside the picture.
        """
        height, width = image.shape[:2]
        right, bottom = self.x_px + self.width_px, self.y_px + self.height_px
        if right > width or bottom > height:
            raise ConfigError(
                f"The rectangle {self} reaches to {right}x{bottom}, "
                f"but the picture is {width}x{height}; choose one inside it.",
                field="cameras.crop",
            )
        return image[self.y_px : bottom, self.x_px : right]


class CroppedSource:
    """A source of which only a rectangle is seen."""

    def __init__(self, source: Source, crop: Crop) -> None:
        self.name = source.name
        self.live = source.live
        self.crop = crop
        self._source = source

    def read(self) -> Frame | None:
        """The next frame, cropped; a picture that the crop does not fit into is a `ConfigError`."""
        frame = self._source.read()
        if frame is None:
            return None
        # a copy, or the whole picture would stay in memory behind it
        return replace(frame, image=self.crop.apply(frame.image).copy())

    def close(self) -> None:
        """Close the source underneath."""
        self._source.close()
