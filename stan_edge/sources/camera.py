"""Frames of a camera: an index, a device file, an address on the network, or a GStreamer pipeline."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from stan_edge.errors import (
    ConfigError,
    SourceConnectError,
    SourceDecodeError,
    SourceError,
    SourceNotFoundError,
    SourceStalledError,
)
from stan_edge.sources.address import PIPELINE_PREFIX, camera_name, connect_failure, is_pipeline, parse_address
from stan_edge.sources.frame import Frame
from stan_edge.sources.opencv import quiet_cv2
from stan_edge.types import Image

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
# TCP: cameras behind Wi-Fi lose UDP packets and the picture smears. No input buffering: a frame is worth its age.
_NETWORK_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
_environment = threading.Lock()


class Camera:
    """A camera, opened on construction; times are `time.monotonic` at capture, from the first frame.

    Args:
        spec: an index ("0"), a device file ("/dev/video0"), an address ("rtsp://user:password@host/path") or a
            pipeline ("gst:v4l2src ! videoconvert").

    Raises:
        ConfigError: the address cannot be parsed, or this OpenCV has no GStreamer.
        SourceConnectError: it does not answer. SourceNotFoundError: there is no such camera.
        SourceAuthError: it wants other credentials.
        SourceStalledError: from `read`, it delivers nothing.
        SourceDecodeError: from `read`, the stream ended, or its pictures cannot be decoded.
    """

    live = True

    def __init__(
        self, spec: str, *, open_timeout_s: float = OPEN_TIMEOUT_S, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self._cv2 = quiet_cv2()
        self._lock = threading.Lock()
        self._read_timeout_s = read_timeout_s
        self._closing = False
        self._captured = 0
        self._first_s = 0.0
        self._decoded_s = 0.0
        self._last: Image | None = None
        self.name = camera_name(spec)
        if is_pipeline(spec):
            self._capture = self._open_pipeline(spec.removeprefix(PIPELINE_PREFIX))
        elif "://" in spec:
            self._capture = self._open_address(spec, open_timeout_s)
        else:
            self._capture = self._open_device(spec)
        self._capture.set(self._cv2.CAP_PROP_BUFFERSIZE, 1)  # V4L2 keeps 4: up to 133 ms of age at 30 fps

    def read(self) -> Frame | None:
        """Wait for the next frame; None after `close`."""
        try:
            with self._lock:
                return self._read()
        finally:
            if self._closing:
                self.close()

    def close(self) -> None:
        """Let go of the camera; a `read` in progress does so when its native call comes back."""
        self._closing = True
        if self._lock.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._lock.release()

    def _read(self) -> Frame | None:
        while self._capture.isOpened() and not self._closing:
            waiting_since_s = time.monotonic()
            grabbed = self._capture.grab()
            captured_s = time.monotonic()
            # a picture that comes with the timeout was kept back by the decoder, and is older than that
            if not grabbed or captured_s - waiting_since_s >= 0.9 * self._read_timeout_s:
                raise self._lost(captured_s - waiting_since_s)
            if self._captured == 0:
                self._first_s = self._decoded_s = captured_s
            index = self._captured
            self._captured += 1
            ok, bgr = self._capture.retrieve()
            if ok:
                self._decoded_s = captured_s
                self._last = self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB)
            elif captured_s - self._decoded_s > self._read_timeout_s:
                raise SourceDecodeError(
                    f"{self.name} delivers pictures that cannot be decoded; restart it or choose another codec in its "
                    "settings."
                )
            if self._last is not None:
                return Frame(index, captured_s - self._first_s, self._last, damaged=not ok)
        return None

    def _open_pipeline(self, pipeline: str) -> Any:
        cv2 = self._cv2
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise ConfigError(
                f"{self.name} needs GStreamer and the OpenCV installed here was built without it (those of PyPI are); "
                "use the system's OpenCV or an rtsp:// address."
            )
        if "appsink" not in pipeline:
            pipeline += " ! videoconvert ! video/x-raw,format=BGR ! appsink max-buffers=1 drop=true"
        capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            raise SourceConnectError(f"{self.name} does not start; try the pipeline with gst-launch-1.0.")
        return capture

    def _open_address(self, url: str, open_timeout_s: float) -> Any:
        parse_address(url)
        cv2 = self._cv2
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(self._read_timeout_s * 1000),
            # FFmpeg decodes a frame a thread and keeps back as many, less one: 16 threads show H.264 of 15 frames a
            # second a second late, as if it were now
            cv2.CAP_PROP_N_THREADS,
            1,
        ]
        # The variable is the only way to hand options to FFmpeg. It is read on every open, and would spoil the
        # reading of files, so it is there only while this capture opens. A value the user has set wins.
        with _environment:
            variable = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
            ours = variable not in os.environ
            os.environ.setdefault(variable, _NETWORK_OPTIONS)
            try:
                capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
            finally:
                if ours:
                    del os.environ[variable]
        if not capture.isOpened():
            raise connect_failure(url)
        return capture

    def _open_device(self, spec: str) -> Any:
        cv2 = self._cv2
        linux = sys.platform.startswith("linux")
        path = Path(f"/dev/video{int(spec)}") if spec.isdigit() else Path(spec)
        if linux or not spec.isdigit():
            if not path.exists():
                raise SourceNotFoundError(f"{self.name}: there is no {path}; {_devices()}.")
            if not os.access(path, os.R_OK | os.W_OK):
                raise SourceConnectError(
                    f"{self.name}: {path} may not be opened by this user; add the user to the group 'video'."
                )
        target = int(spec) if spec.isdigit() else spec
        capture = cv2.VideoCapture(target, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
        if not capture.isOpened():
            raise SourceConnectError(
                f"{self.name} does not open: it is no camera or another program uses it; {_devices()}."
            )
        return capture

    def _lost(self, waited_s: float) -> SourceError:
        if waited_s >= 0.9 * self._read_timeout_s:
            return SourceStalledError(
                f"{self.name} has delivered nothing for {waited_s:.1f} s; check the camera and its cable."
            )
        if self._captured == 0:
            return SourceStalledError(f"{self.name} is open but delivers no frame; restart the camera.")
        return SourceDecodeError(
            f"{self.name}: the stream ended after {self._captured} frames; check the camera and its cable."
        )


def _devices() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    return f"this machine has {', '.join(found)}" if found else "this machine has no /dev/video* at all"
