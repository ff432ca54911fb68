"""Where the person is in a frame, looked up at a lower rate than the frames arrive.

The rules that turn raw boxes into regions are apart from the detector (`pose`), so that clips of which the boxes are
known go through exactly the same ones.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from stan_edge.person.detection_rate import DETECTION_HZ
from stan_edge.sources import Frame
from stan_edge.types import Image, Mask, PixelBox, RawBox

# Many times the longest miss. Longer would keep an empty room's region where someone has left.
HOLD_S = 3.0
MEDIAN_DETECTIONS = 5
MARGIN = 0.15
MIN_MARGIN_PX = 32.0  # at a frame width of 640 px
MASK_MARGIN = 0.05


@dataclass(frozen=True)
class Region:
    """Where the person is, as far as known."""

    box_px: PixelBox | None
    """Smoothed, with margin, clipped to the frame; None: nobody known, take the whole frame."""
    state: Literal["tracked", "held", "none"]
    """`held`: not found just now, this is the last box."""
    mask: Mask | None = field(default=None, compare=False, repr=False)
    """The person's pixels with margin; None where only the box is known."""
    seen_px: PixelBox | None = field(default=None, compare=False, repr=False)
    """Tight box of the newest detection, which `box_px` follows with some delay; None unless `tracked`."""


NOBODY = Region(None, "none")


class Tracker(Protocol):
    """Knows where the person is in every frame of one stream."""

    def update(self, frame: Frame, detection_hz: float = DETECTION_HZ) -> Region:
        """The region at a frame, the person looked for so often. Frames come in order of capture."""
        ...


@dataclass(frozen=True, eq=False)
class Sighting:
    """The person in one picture."""

    box: RawBox
    mask: Mask | None = None
    """Without margin; None where the detector gives none."""


class PersonDetector(Protocol):
    """Finds the person in one picture; may remember the one before."""

    def find(self, image: Image, near: PixelBox | None) -> Sighting | None:
        """The person in an [H, W, 3] image. `near` is where the person was a moment ago; None if nobody was there."""
        ...

    def forget(self) -> None:
        """The next picture has nothing to do with the one before."""
        ...


class BoxSmoother:
    """Turns the detections of one stream into regions.

    The box is the median of the last five detections with a margin, the mask that of the last detection with a
    margin; a miss keeps both for `HOLD_S`.
    """

    def __init__(self) -> None:
        self._boxes: deque[RawBox] = deque(maxlen=MEDIAN_DETECTIONS)
        self._seen_s = -math.inf
        self._box: PixelBox | None = None
        self._mask: Mask | None = None

    def feed(
        self, raw: RawBox | None, t_s: float, width_px: int, height_px: int, *, mask: Mask | None = None
    ) -> Region:
        """Take one look at the scene, found or not, at time `t_s`. A mask counts with its box only."""
        if t_s - self._seen_s > HOLD_S:
            self._boxes.clear()
            self._box = self._mask = None
        if raw is not None and is_plausible(raw, width_px, height_px):
            self._seen_s = t_s
            self._boxes.append(raw)
            median = np.median(np.stack(self._boxes), axis=0)
            self._box = padded_box(median, width_px, height_px)
            self._mask = None if mask is None or not mask.any() else padded_mask(mask, raw)
            return Region(self._box, "tracked", self._mask, clipped_box(raw, width_px, height_px))
        return NOBODY if self._box is None else Region(self._box, "held", self._mask)


def is_plausible(raw: RawBox, width_px: int, height_px: int) -> bool:
    """Whether a box can be a person: finite, of some size, and mostly inside the frame."""
    x0, y0, x1, y1 = (float(value) for value in raw)
    if not np.isfinite(raw).all() or x1 <= x0 or y1 <= y0:
        return False
    inside = max(0.0, min(x1, width_px) - max(x0, 0.0)) * max(0.0, min(y1, height_px) - max(y0, 0.0))
    return inside >= 0.5 * (x1 - x0) * (y1 - y0) and max(x1 - x0, y1 - y0) >= 0.05 * min(width_px, height_px)


def padded_box(raw: RawBox, width_px: int, height_px: int) -> PixelBox:
    """Add the margin on every side, 15 % of the box and at least 32 px of 640, and clip to the frame."""
    x0, y0, x1, y1 = (float(value) for value in raw)
    least_px = MIN_MARGIN_PX * width_px / 640
    x_px, y_px = max(MARGIN * (x1 - x0), least_px), max(MARGIN * (y1 - y0), least_px)
    return clipped_box(np.array([x0 - x_px, y0 - y_px, x1 + x_px, y1 + y_px]), width_px, height_px)


def clipped_box(raw: RawBox, width_px: int, height_px: int) -> PixelBox:
    """The pixels that a box touches, at least one."""
    x0, y0, x1, y1 = (float(value) for value in raw)
    return (
        min(max(math.floor(x0), 0), width_px - 1),
        min(max(math.floor(y0), 0), height_px - 1),
        max(min(math.ceil(x1), width_px), 1),
        max(min(math.ceil(y1), height_px), 1),
    )


def padded_mask(mask: Mask, raw: RawBox) -> Mask:
    """Widen a mask by 5 % of the longer side of its box, at least a pixel, in every direction."""
    import cv2

    margin_px = max(round(MASK_MARGIN * float(max(raw[2] - raw[0], raw[3] - raw[1]))), 1)
    kernel = np.ones((2 * margin_px + 1,) * 2, np.uint8)  # a rectangle, because OpenCV is fast with these only
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


class PersonTracker:
    """The region for every frame of one stream; asks the detector only so many times a second.

    A new segment begins with nobody: who was where before a camera was lost says nothing of who is there now.
    """

    def __init__(self, detector: PersonDetector) -> None:
        self._detector = detector
        self._segment = 0
        self._begin()

    def _begin(self) -> None:
        self._smoother = BoxSmoother()
        self._due_s = -math.inf
        self._sighted = False
        self._region = NOBODY

    def update(self, frame: Frame, detection_hz: float = DETECTION_HZ) -> Region:
        """The region at a frame. Frames come in order of capture."""
        t_s, period_s = frame.t_capture_s, 1 / detection_hz
        if frame.segment.number != self._segment:
            self._segment = frame.segment.number
            self._detector.forget()
            self._begin()
        # The slack keeps a camera whose frames come at just this rate, with jitter, from skipping every other one.
        if t_s < self._due_s - 0.1 * period_s:
            return self._region
        self._region = self._look(frame)
        # From the due time, not from this frame's, so that the rate is kept on average.
        self._due_s = max(self._due_s, t_s - period_s) + period_s
        return self._region

    def _look(self, frame: Frame) -> Region:
        height_px, width_px = frame.image.shape[:2]
        found = self._detector.find(frame.image, self._region.box_px)
        # A new person counts from the second detection: in an empty room table legs pass for one, once at a time.
        believed = found if self._region.box_px is not None or self._sighted else None
        self._sighted = found is not None
        box, mask = (believed.box, believed.mask) if believed else (None, None)
        return self._smoother.feed(box, frame.t_capture_s, width_px, height_px, mask=mask)
