"""Frames of a video file, with the container's own times."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

from stan_edge.errors import SourceConnectError, SourceDecodeError, SourceNotFoundError
from stan_edge.sources.frame import Frame
from stan_edge.sources.opencv import quiet_cv2
from stan_edge.types import Image

# A whole clip ends within one frame of what its container announces (51 real clips; mkv announces one too
# many), but a sound track may outlast the picture a little.
CUT_TOLERANCE_S = 0.5
CUT_TOLERANCE_FRAMES = 3


class VideoFile:
    """A file, read as fast as it is asked for. The first frame is decoded on opening.

    Raises:
        SourceNotFoundError: there is no such file.
        SourceConnectError: it may not be read.
        SourceDecodeError: it is no video or holds no frame; from `read`, it ends before it should.
    """

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        _check_readable(path)
        cv2 = quiet_cv2()
        self._lock = threading.Lock()
        self._cv2 = cv2
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceDecodeError(
                f"{path} is not a video that can be decoded, or it was cut off while being written; "
                "play it in another program to find out, and record or copy it again."
            )
        # Off by default in OpenCV 4.11 (opencv/opencv#26876): a phone's portrait recording would lie on its side.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._period_s = 1 / fps if 1 <= fps <= 1000 else 1 / 30
        count = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.expected_frames = round(count) if math.isfinite(count) and count > 0 else 0
        """As the container announces; 0: it does not say."""
        self._grabbed = 0
        self._first_container_s = 0.0
        self._last_s = -math.inf
        self._ahead: Frame | None = self._decode()
        if self._ahead is None:
            self._capture.release()
            raise SourceDecodeError(f"{path} holds no frame that can be decoded; record or copy it again.")

    def read(self) -> Frame | None:
        """The next frame, or None at the end of a whole file."""
        with self._lock:
            if self._ahead is not None:
                frame, self._ahead = self._ahead, None
                return frame
            if not self._capture.isOpened():
                return None
            decoded = self._decode()
            if decoded is None:
                self._capture.release()
                self._check_whole()
            return decoded

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._ahead = None
            self._capture.release()

    def _decode(self) -> Frame | None:
        while self._capture.grab():
            index = self._grabbed
            self._grabbed += 1
            t_capture_s = self._presentation_s()
            ok, bgr = self._capture.retrieve()
            if ok:
                image: Image = self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB)
                return Frame(index, t_capture_s, image)
        return None

    def _presentation_s(self) -> float:
        """Time of the frame just grabbed; one frame period after the last where the container's does not rise.

        Raw streams (.h264) carry no times at all, concatenated ones jump back.
        """
        container_s = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000
        if self._last_s == -math.inf:
            self._first_container_s = container_s if math.isfinite(container_s) else 0.0
            self._last_s = 0.0
            return 0.0
        t_s = container_s - self._first_container_s
        if not (math.isfinite(t_s) and t_s > self._last_s):
            t_s = self._last_s + self._period_s
        self._last_s = t_s
        return t_s

    def _check_whole(self) -> None:
        """Compare durations, not counts: where the container does not store a count (mkv), OpenCV derives it
        from the duration and a nominal rate, which is wrong for a variable one."""
        expected_s = self.expected_frames * self._period_s
        missing_s = expected_s - (self._last_s + self._period_s)
        if missing_s > max(CUT_TOLERANCE_S, CUT_TOLERANCE_FRAMES * self._period_s):
            raise SourceDecodeError(
                f"{self.name} is cut off or damaged: {self._grabbed} of about {self.expected_frames} frames "
                f"({self._last_s:.1f} of {expected_s:.1f} s) could be read; copy it again."
            )


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise SourceConnectError(f"{path} is a folder; give one video file.")
    if not path.exists():
        raise SourceNotFoundError(f"{path} does not exist; check the path.")
    if not os.access(path, os.R_OK):
        raise SourceConnectError(f"{path} may not be read by this user; change its permissions.")
    if path.stat().st_size == 0:
        raise SourceDecodeError(f"{path} is empty; record or copy it again.")
