"""OpenCV, loaded when first needed and told to keep the terminal clean."""

from __future__ import annotations

import os
from types import ModuleType

MOST_PIXELS = 1 << 27
"""Of a picture in a file: 400 MB; a kilobyte of PNG can claim more. OpenCV itself would take eight times as much."""


def quiet_cv2() -> ModuleType:
    """Import cv2 so that neither it nor its FFmpeg writes to stderr: a failure is reported once, by us.

    FFmpeg's level is read from the environment when the first capture of the process opens; a level the
    user has set is kept.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "5")  # seconds; 10 by default
    import cv2

    cv2.setLogLevel(0)  # silent; cv2.utils.logging is not in the contrib wheels
    return cv2
