"""Where the person is in the frames of a clip: looked for as at run time, or known from a file beside the clip."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.person import detection, tracking
from stan_edge.person.detection import watching
from stan_edge.person.detection_rate import DETECTION_HZ
from stan_edge.person.tracking import PersonTracker, Region, Sighting, Tracker
from stan_edge.sources import Frame
from stan_edge.types import Image, Mask, PixelBox
from stan_train.manifest import REGION_SIDECAR, Clip

SKELETON = ".skeleton"
_DAMAGED = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError),
    *(BadZipFile, zlib.error, TokenError),
)
"""What reading 12,000 damaged or cut region files raised, and a file of another kind."""


class KnownRegions:
    """Replays known boxes and masks by the rules of the runtime's tracker.

    Args:
        boxes: tight boxes [L, 4] in pixels of the (cropped) frame, one for each source frame; NaN: nobody visible.
        masks: the body's pixels as packed bits [L, H, ceil(W / 8)], where they are known.
    """

    def __init__(self, boxes: NDArray[np.float32], masks: NDArray[np.uint8] | None = None) -> None:
        self._boxes = boxes
        self._masks = masks
        self._index = 0
        self._tracker = PersonTracker(self)

    def update(self, frame: Frame, detection_hz: float = DETECTION_HZ) -> Region:
        """The region at a frame. Frames come in order of capture."""
        self._index = frame.index
        return self._tracker.update(frame, detection_hz)

    def find(self, image: Image, near: PixelBox | None) -> Sighting | None:
        """The box and mask that are known for the frame of the last `update`."""
        if self._index >= len(self._boxes) or np.isnan(self._boxes[self._index]).any():
            return None
        return Sighting(self._boxes[self._index].astype(np.float64), self._mask(image.shape[1]))

    def forget(self) -> None:
        """Nothing: what is known of a frame depends on no other."""

    def _mask(self, width_px: int) -> Mask | None:
        if self._masks is None:
            return None
        return np.unpackbits(self._masks[self._index], axis=1, count=width_px).astype(bool)


@contextmanager
def person_tracker(clip: Clip, *, masks: bool) -> Iterator[Tracker | None]:
    """The tracker that a clip's `region` asks for; None for whole frames.

    Args:
        masks: give the person's pixels, too, where they can be had.

    Raises:
        ConfigError: the file beside the clip is not there or damaged.
    """
    if clip.region == "pose":
        with watching(masks=masks) as tracker:
            yield tracker
    else:
        yield None if clip.region == "none" else KnownRegions(*known_regions(clip))


def region_file(clip: Clip) -> Path | None:
    """The file with the person's true regions beside a clip; None where they are looked for in the picture."""
    if clip.region == "sidecar":
        return clip.path.with_name(clip.path.stem + REGION_SIDECAR)
    if clip.region == "skeleton":
        return clip.path.with_name(clip.path.stem.removesuffix("_rgb") + SKELETON)
    return None


def known_regions(clip: Clip) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Boxes [L, 4] and packed masks of a clip whose `region` is `sidecar` or `skeleton` (no masks).

    Raises:
        ConfigError: the file beside the clip is not there or damaged.
    """
    path = region_file(clip)
    if path is None:
        raise ConfigError(f"{clip.path}: its manifest row knows no region file; scan it again.")
    if clip.region == "skeleton":
        from stan_train.datasets.skeleton import read_skeleton

        return read_skeleton(path, clip.frames), None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            boxes = np.asarray(arrays["boxes"], np.float32)
            masks = arrays.get("masks")
    except _DAMAGED as error:
        raise ConfigError(f"{path}: cannot be read ({error}); scan with regions from the picture instead.") from error
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ConfigError(f"{path}: boxes are {boxes.shape}, not one box of 4 numbers a frame; write it again.")
    packed = (len(boxes), clip.height_px, -(-clip.width_px // 8))
    if masks is not None and (masks.dtype != np.uint8 or masks.shape != packed):
        raise ConfigError(
            f"{path}: masks are {masks.dtype} {masks.shape}, not packed bits, uint8 {packed}; write it again."
        )
    return boxes, masks


def region_settings(clip: Clip) -> dict[str, float | str]:
    """All besides the clip and its region file that decides where the person is in it."""
    if clip.region == "none":
        return {}
    rules: dict[str, float | str] = {
        "rate_hz": DETECTION_HZ,
        "hold_s": tracking.HOLD_S,
        "median_detections": tracking.MEDIAN_DETECTIONS,
        "margin": tracking.MARGIN,
        "min_margin_px": tracking.MIN_MARGIN_PX,
        "mask_margin": tracking.MASK_MARGIN,
    }
    if clip.region != "pose":
        return rules
    return rules | {
        "mask_level": detection.MASK_LEVEL,
        "min_visibility": detection.MIN_VISIBILITY,
        "min_joints": detection.MIN_JOINTS,
        "min_confidence": detection.MIN_CONFIDENCE,
        "mediapipe": _mediapipe(),
    }


def _mediapipe() -> str:
    try:
        return version("mediapipe")
    except PackageNotFoundError:  # the detector says what to install
        return ""
