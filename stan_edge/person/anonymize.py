"""What of a person may leave memory: the one place that every picture passes before a sink sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from stan_edge.person.tracking import Region
    from stan_edge.types import Image, PixelBox

Privacy = Literal["none", "blur", "silhouette"]
LEVELS: tuple[Privacy, ...] = ("none", "blur", "silhouette")

GROWN = 0.25
"""Added to every side of the person's box, of its longer side, beyond the margin that the region has already: between
two detections a falling head or arm leaves that one (bench/results/privacy.md)."""
CELLS = 16
"""Cells along the longer side of what is hidden: a face of somebody who stands is one or two."""
SOFT_CELLS = 48
"""Cells along the longer side of the rest of the picture: somebody may be there whom the search does not know, or takes
for a chair. A face that takes a tenth of the picture is four or five."""
FLAT, FLAT_PERSON = (96, 96, 96), (24, 26, 30)


def anonymize(image: Image, region: Region, privacy: Privacy) -> Image:
    """A picture of which nobody can be recognised.

    Hidden is the person's box, enlarged; where the person was not found just now, the whole picture. `blur` leaves
    of it the mean colour of a few cells, `silhouette` nothing but a flat colour, and the shape where it is known. The
    rest of the picture loses its details, because only one person is looked for.

    Args:
        image: `[H, W, 3]`; is not changed.
    """
    import cv2
    import numpy as np

    if privacy == "none":
        return image
    height, width = image.shape[:2]
    box = hidden_box(region, width, height)
    x0, y0, x1, y1 = box or (0, 0, width, height)
    shown = np.empty_like(image) if box is None else _averaged(image, SOFT_CELLS, cv2.INTER_LINEAR)
    if privacy == "blur":
        shown[y0:y1, x0:x1] = _averaged(image[y0:y1, x0:x1], CELLS, cv2.INTER_NEAREST)
        return shown
    shown[y0:y1, x0:x1] = FLAT
    if box is not None and region.mask is not None:
        shown[y0:y1, x0:x1][region.mask[y0:y1, x0:x1]] = FLAT_PERSON
    return shown


def hidden_box(region: Region, width_px: int, height_px: int) -> PixelBox | None:
    """What is hidden of a picture; None: all of it."""
    if region.state != "tracked" or region.box_px is None:
        return None
    boxes = [region.box_px] if region.seen_px is None else [region.box_px, region.seen_px]
    x0, y0 = (min(box[i] for box in boxes) for i in (0, 1))
    x1, y1 = (max(box[i] for box in boxes) for i in (2, 3))
    more_px = round(GROWN * max(x1 - x0, y1 - y0))
    return max(x0 - more_px, 0), max(y0 - more_px, 0), min(x1 + more_px, width_px), min(y1 + more_px, height_px)


def _averaged(image: Image, cells: int, enlarging: int) -> Image:
    import cv2

    height, width = image.shape[:2]
    per_px = cells / max(height, width)
    small = cv2.resize(
        image, (max(round(width * per_px), 1), max(round(height * per_px), 1)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=enlarging)
