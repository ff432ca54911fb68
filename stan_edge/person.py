"""Where the person is in a frame, looked up at a lower rate than the frames arrive.

The rules that turn raw boxes into regions are apart from the detector, so that training, which knows the
boxes, applies exactly the same ones.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from stan_edge.errors import ConfigError
from stan_edge.sources import Frame, Image

Box: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in frame pixels; x1 and y1 are just outside."""
RawBox: TypeAlias = npt.NDArray[np.float64]
"""Tight box around the joints, float [4], (x0, y0, x1, y1) in frame pixels; may reach outside the frame."""
Mask: TypeAlias = npt.NDArray[np.bool_]
"""The person's pixels of a frame, [H, W]."""

# Measured on 13 + 20 falls (GMDCSA24, URFD; 640x480, 1280x720, 320x240), share of frames "tracked":
#                              5 Hz    10 Hz   15 Hz   30 Hz
#   GMDCSA24 first 2 s of fall 0.967   0.982   0.980   0.980     longest miss 0.6 s at 5 Hz, 0.2 s at 10 Hz
#   URFD falling               0.993   1.000   1.000   0.998
#   URFD on the ground         0.983   0.991   0.981   0.969
# 10 Hz is the lowest rate that holds the fall; more costs CPU and brings nothing.
RATE_HZ = 10.0
# Many times the longest miss. Longer would keep an empty room's region where someone has left.
HOLD_S = 3.0
MEDIAN_DETECTIONS = 5
MARGIN = 0.15
MIN_MARGIN_PX = 32.0  # at a frame width of 640 px
MASK_MARGIN = 0.05
MASK_LEVEL = 0.5
MIN_VISIBILITY = 0.1
MIN_JOINTS = 6
# For acquiring and for tracking. At 10 Hz through falls (GMDCSA24 first 2 s, URFD on the ground): 0.982 and 0.991
# tracked with 0.3, 0.955 and 0.939 with MediaPipe's own 0.5.
MIN_CONFIDENCE = 0.3
_NATIVE_NOISE = re.compile(
    rb"INFO: Created TensorFlow Lite|WARNING: All log messages before absl|[IW]\d{4} [\d:. ]+ \w+\.cc:\d+\]"
)


@dataclass(frozen=True)
class Region:
    """Where the person is, as far as known."""

    box_px: Box | None
    """Smoothed, with margin, clipped to the frame; None: nobody known, take the whole frame."""
    state: Literal["tracked", "held", "none"]
    """`held`: not found just now, this is the last box."""
    mask: Mask | None = field(default=None, compare=False, repr=False)
    """The person's pixels with margin; None where only the box is known."""


NOBODY = Region(None, "none")


class Tracker(Protocol):
    """Knows where the person is in every frame of one stream."""

    def update(self, frame: Frame) -> Region:
        """The region at a frame. Frames come in order of capture."""
        ...


@dataclass(frozen=True, eq=False)
class Sighting:
    """The person in one picture."""

    box: RawBox
    mask: Mask | None = None
    """Without margin; None where the detector gives none."""


class PersonDetector(Protocol):
    """Finds the person in one picture; may remember the one before."""

    def find(self, image: Image, near: Box | None) -> Sighting | None:
        """The person in an [H, W, 3] image, or None.

        Args:
            near: where the person was a moment ago; None if nobody was there.
        """
        ...


class BoxSmoother:
    """Turns the detections of one stream into regions.

    The box is the median of the last five detections with a margin, the mask that of the last detection with a
    margin; a miss keeps both for `hold_s`.
    """

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._boxes: deque[RawBox] = deque(maxlen=MEDIAN_DETECTIONS)
        self._seen_s = -math.inf
        self._box: Box | None = None
        self._mask: Mask | None = None

    def feed(
        self, raw: RawBox | None, t_s: float, width_px: int, height_px: int, *, mask: Mask | None = None
    ) -> Region:
        """Take one look at the scene, found or not, at time `t_s`. A mask counts with its box only."""
        if raw is not None and is_plausible(raw, width_px, height_px):
            self._seen_s = t_s
            self._boxes.append(raw)
            median = np.median(np.stack(self._boxes), axis=0)
            self._box = padded_box(median, width_px, height_px)
            self._mask = None if mask is None or not mask.any() else padded_mask(mask, raw)
            return Region(self._box, "tracked", self._mask)
        if self._box is None or t_s - self._seen_s > self._hold_s:
            self._boxes.clear()
            self._box = self._mask = None
            return NOBODY
        return Region(self._box, "held", self._mask)


def is_plausible(raw: RawBox, width_px: int, height_px: int) -> bool:
    """Whether a box can be a person: finite, of some size, and mostly inside the frame."""
    x0, y0, x1, y1 = (float(value) for value in raw)
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        return False
    inside = max(0.0, min(x1, width_px) - max(x0, 0.0)) * max(0.0, min(y1, height_px) - max(y0, 0.0))
    return inside >= 0.5 * (x1 - x0) * (y1 - y0) and max(x1 - x0, y1 - y0) >= 0.05 * min(width_px, height_px)


def padded_box(raw: RawBox, width_px: int, height_px: int) -> Box:
    """Add the margin on every side, 15 % of the box and at least 32 px of 640, and clip to the frame."""
    x0, y0, x1, y1 = (float(value) for value in raw)
    least_px = MIN_MARGIN_PX * width_px / 640
    x_px, y_px = max(MARGIN * (x1 - x0), least_px), max(MARGIN * (y1 - y0), least_px)
    return (
        min(max(math.floor(x0 - x_px), 0), width_px - 1),
        min(max(math.floor(y0 - y_px), 0), height_px - 1),
        max(min(math.ceil(x1 + x_px), width_px), 1),
        max(min(math.ceil(y1 + y_px), height_px), 1),
    )


def padded_mask(mask: Mask, raw: RawBox) -> Mask:
    """Widen a mask by 5 % of the longer side of its box, at least a pixel, in every direction."""
    import cv2

    margin_px = max(round(MASK_MARGIN * float(max(raw[2] - raw[0], raw[3] - raw[1]))), 1)
    kernel = np.ones((2 * margin_px + 1,) * 2, np.uint8)  # a rectangle, because OpenCV is fast with these only
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def region_from_boxes(
    raw_boxes: Sequence[RawBox | None] | npt.NDArray[np.floating[Any]],
    width_px: int,
    height_px: int,
    *,
    times_s: Sequence[float] | None = None,
    hold_s: float = HOLD_S,
) -> list[Box | None]:
    """The boxes that a tracker would give for known detections, one for each: see `regions_from_known`."""
    regions = regions_from_known(raw_boxes, None, width_px, height_px, times_s=times_s, hold_s=hold_s)
    return [region.box_px for region in regions]


def regions_from_known(
    raw_boxes: Sequence[RawBox | None] | npt.NDArray[np.floating[Any]],
    masks: Iterable[Mask | None] | None,
    width_px: int,
    height_px: int,
    *,
    times_s: Sequence[float] | None = None,
    hold_s: float = HOLD_S,
) -> list[Region]:
    """The regions that a tracker would give for known detections, one for each.

    Args:
        raw_boxes: tight boxes in order of time; None or NaN where nobody was found. [L, 4] if an array.
        masks: the person's pixels without margin, bool [H, W] for each box; None or all False: only the box is known.
        times_s: when each was looked for; by default every `1 / RATE_HZ` seconds.
    """
    smoother = BoxSmoother(hold_s)
    times_s = [k / RATE_HZ for k in range(len(raw_boxes))] if times_s is None else times_s
    found = [None if raw is None or np.isnan(raw).any() else np.asarray(raw, np.float64) for raw in raw_boxes]
    known = [None] * len(found) if masks is None else masks
    return [
        smoother.feed(raw, t_s, width_px, height_px, mask=mask)
        for raw, mask, t_s in zip(found, known, times_s, strict=True)
    ]


class PersonTracker:
    """The region for every frame of one stream; asks the detector only `rate_hz` times a second."""

    def __init__(self, detector: PersonDetector, *, rate_hz: float = RATE_HZ, hold_s: float = HOLD_S) -> None:
        self._detector = detector
        self._period_s = 1 / rate_hz
        self._smoother = BoxSmoother(hold_s)
        self._due_s = -math.inf
        self._sighted = False
        self._region = NOBODY

    def update(self, frame: Frame) -> Region:
        """The region at a frame. Frames come in order of capture."""
        t_s = frame.t_capture_s
        # The slack keeps a camera whose frames come at just this rate, with jitter, from skipping every other one.
        if t_s < self._due_s - 0.1 * self._period_s:
            return self._region
        self._region = self._look(frame)
        # From the due time, not from this frame's, so that the rate is kept on average.
        self._due_s = max(self._due_s, t_s - self._period_s) + self._period_s
        return self._region

    def _look(self, frame: Frame) -> Region:
        height_px, width_px = frame.image.shape[:2]
        found = self._detector.find(frame.image, self._region.box_px)
        # A new person counts from the second look: in an empty room table legs pass for one, once at a time.
        believed = found if self._region.box_px is not None or self._sighted else None
        self._sighted = found is not None
        if believed is None:
            return self._smoother.feed(None, frame.t_capture_s, width_px, height_px)
        return self._smoother.feed(believed.box, frame.t_capture_s, width_px, height_px, mask=believed.mask)


class MediapipeDetector:
    """MediaPipe's pose model in tracking mode: one instance a stream, on one CPU core, nothing downloaded.

    A look takes 16 ms while the person is tracked (one core of a server CPU). Its detector knows upright people
    only, so a person lost while falling is looked for again at once: around the last box, upright and turned by
    a quarter either way, up to three more looks. With tracking alone 0.84 of the first two seconds of GMDCSA24
    falls and 0.80 of URFD's frames on the ground were found, so 0.98 and 0.99. Searching the whole picture
    instead found chairs, a backpack and a bystander.

    Args:
        masks: give the person's pixels, too, at 1.7 ms a look (640x480); the boxes stay the same.

    Raises:
        ConfigError: mediapipe is not installed.
    """

    def __init__(self, *, masks: bool = False) -> None:
        with _native_noise_removed():
            pose = _load_pose()
            # complexity 1 is inside the wheel, the others would be downloaded
            self._pose = pose.Pose(
                model_complexity=1,
                smooth_landmarks=False,
                enable_segmentation=masks,
                smooth_segmentation=False,  # the look before may have been turned
                min_detection_confidence=MIN_CONFIDENCE,
                min_tracking_confidence=MIN_CONFIDENCE,
            )
            # its threads start, and write, after the constructor has returned
            self._pose.process(np.zeros((64, 64, 3), np.uint8))
        self._masks = masks
        self._quarter_turns = 0
        self._tracking = False
        self._warm = False

    def find(self, image: Image, near: Box | None) -> Sighting | None:
        """Tight box around the joints whose visibility exceeds 0.1, and the pixels that are the person's by half."""
        if near is None:
            self._quarter_turns = 0
            return self._look(image, 0)
        if self._tracking:
            found = self._look(image, self._quarter_turns)
            if found is not None:
                return found
        around = _blacked_out_beyond(image, near)
        for quarter_turns in (0, 1, 3):
            found = self._look(around, quarter_turns)
            if found is not None:
                self._quarter_turns = quarter_turns
                return found
        return None

    def close(self) -> None:
        """Stop MediaPipe's threads."""
        self._pose.close()

    def _look(self, image: Image, quarter_turns: int) -> Sighting | None:
        """Look at the picture turned clockwise; box and mask are in the picture that was given."""
        turned = np.ascontiguousarray(np.rot90(image, -quarter_turns))
        with nullcontext() if self._warm else _native_noise_removed():
            answer = self._pose.process(turned)
        found = answer.pose_landmarks
        self._tracking = found is not None
        if found is None:
            return None
        self._warm = True
        joints = np.array([(p.x, p.y) for p in found.landmark if p.visibility > MIN_VISIBILITY])
        if len(joints) < MIN_JOINTS:
            return None
        for _ in range(quarter_turns):  # (x, y) of the turned picture is (y, 1 - x) before the turn
            joints = np.column_stack([joints[:, 1], 1 - joints[:, 0]])
        joints *= image.shape[1::-1]
        mask = answer.segmentation_mask if self._masks else None
        if mask is not None:
            mask = np.ascontiguousarray(np.rot90(mask > MASK_LEVEL, quarter_turns))
        return Sighting(np.concatenate([joints.min(axis=0), joints.max(axis=0)]), mask)


def _blacked_out_beyond(image: Image, near: Box) -> Image:
    """A copy that shows only the surroundings of a box, so that no chair and no bystander is found instead."""
    x0, y0, x1, y1 = near
    x_px, y_px = (x1 - x0) // 2, (y1 - y0) // 2
    rows, columns = slice(max(y0 - y_px, 0), y1 + y_px), slice(max(x0 - x_px, 0), x1 + x_px)
    around = np.zeros_like(image)
    around[rows, columns] = image[rows, columns]
    return around


def _load_pose() -> ModuleType:
    try:
        from mediapipe.python.solutions import pose
    except ImportError as error:
        raise ConfigError(
            f'finding the person needs MediaPipe, which cannot be imported ({error}); pip install "stan-edge[pose]".'
        ) from error
    return cast(ModuleType, pose)


@contextmanager
def _native_noise_removed() -> Iterator[None]:
    """Take the lines that MediaPipe's C++ writes to stderr out of it, and pass everything else on.

    They come on construction and until the first person is found, and there is no switch: absl logs to stderr
    until it is initialised, which the wheel never does. Hence the file descriptor. It belongs to the whole
    process, so what other threads write meanwhile is kept and written afterwards, not lost.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                caught.seek(0)
                for line in caught:
                    if not _NATIVE_NOISE.match(line):
                        os.write(2, line)
    finally:
        os.close(kept)
