"""MediaPipe as the detector of the person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from types import ModuleType
from typing import cast

import numpy as np

from stan_edge.errors import ConfigError
from stan_edge.person.native_noise import native_noise_removed
from stan_edge.person.tracking import PersonTracker, Sighting
from stan_edge.types import Image, PixelBox

MASK_LEVEL = 0.5
MIN_VISIBILITY = 0.1
MIN_JOINTS = 6
# For acquiring and for tracking. At 10 Hz through falls (GMDCSA24 first 2 s, URFD on the ground): 0.982 and 0.991
# tracked with 0.3, 0.955 and 0.939 with MediaPipe's own 0.5.
MIN_CONFIDENCE = 0.3


@contextmanager
def watching(*, masks: bool) -> Iterator[PersonTracker]:
    """A tracker that looks through MediaPipe, for one stream.

    Raises:
        ConfigError: mediapipe is not installed.
    """
    with closing(MediapipeDetector(masks=masks)) as detector:
        yield PersonTracker(detector)


class MediapipeDetector:
    """MediaPipe's pose model in tracking mode: one instance a stream, on one CPU core, nothing downloaded.

    A detection takes 16 ms while the person is tracked (one core of a server CPU). Its detector knows upright people
    only, so a person lost while falling is looked for again at once: around the last box, upright and turned by
    a quarter either way, up to three more detections. With tracking alone 0.84 of the first two seconds of GMDCSA24
    falls and 0.80 of URFD's frames on the ground were found, so 0.98 and 0.99. Searching the whole picture
    instead found chairs, a backpack and a bystander.

    Args:
        masks: give the person's pixels, too, at 1.7 ms a detection (640x480); the boxes stay the same.

    Raises:
        ConfigError: mediapipe is not installed.
    """

    def __init__(self, *, masks: bool = False) -> None:
        with native_noise_removed():
            pose = _load_pose()
            # complexity 1 is inside the wheel, the others would be downloaded
            self._pose = pose.Pose(
                model_complexity=1,
                smooth_landmarks=False,
                enable_segmentation=masks,
                smooth_segmentation=False,  # the detection before may have been turned
                min_detection_confidence=MIN_CONFIDENCE,
                min_tracking_confidence=MIN_CONFIDENCE,
            )
            # its threads start, and write, after the constructor has returned
            self._pose.process(np.zeros((64, 64, 3), np.uint8))
        self._masks = masks
        self._quarter_turns = 0
        self._tracking = False
        self._warm = False

    def find(self, image: Image, near: PixelBox | None) -> Sighting | None:
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

    def forget(self) -> None:
        """Begin anew, as if just made: 6 ms."""
        with native_noise_removed():
            self._pose.reset()
            self._pose.process(np.zeros((64, 64, 3), np.uint8))
        self._quarter_turns = 0
        self._tracking = self._warm = False

    def close(self) -> None:
        """Stop MediaPipe's threads."""
        self._pose.close()

    def _look(self, image: Image, quarter_turns: int) -> Sighting | None:
        """Look at the picture turned clockwise; box and mask are in the picture that was given."""
        turned = np.ascontiguousarray(np.rot90(image, -quarter_turns))
        with nullcontext() if self._warm else native_noise_removed():
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


def _blacked_out_beyond(image: Image, near: PixelBox) -> Image:
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
