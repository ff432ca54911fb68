"""Frames of a camera: an index, a device file, or an address on the network."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from stan_edge.errors import SourceConnectError, SourceDecodeError, SourceError, SourceStalledError
from stan_edge.sources.address import connect_failure, parse_address, printable_address
from stan_edge.sources.frame import Frame, Image
from stan_edge.sources.opencv import quiet_cv2

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 5.0
# TCP: cameras behind Wi-Fi lose UDP packets and the picture smears. No input buffering: a frame is worth its age.
_NETWORK_OPTIONS = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay"
_environment = threading.Lock()


class Camera:
    """A camera, opened on construction; times are `time.monotonic` at capture, from the first frame.

    Args:
        spec: an index ("0"), a device file ("/dev/video0") or an address ("rtsp://user:password@host/path").

    Raises:
        ConfigError: the address cannot be parsed.
        SourceConnectError: there is no such camera, or it does not answer.
        SourceAuthError: it wants other credentials.
        SourceStalledError, SourceDecodeError: from `read`, it delivers nothing, or the stream ended.
    """

    live = True

    def __init__(
        self, spec: str, *, open_timeout_s: float = OPEN_TIMEOUT_S, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self._cv2 = quiet_cv2()
        self._lock = threading.Lock()
        self._read_timeout_s = read_timeout_s
        self._captured = 0
        self._first_s = 0.0
        if "://" in spec:
            self.name = printable_address(spec)
            self._capture = self._open_address(spec, open_timeout_s)
        else:
            self.name = f"camera {spec}" if spec.isdigit() else spec
            self._capture = self._open_device(spec)
        self._capture.set(self._cv2.CAP_PROP_BUFFERSIZE, 1)  # V4L2 keeps 4: up to 133 ms of age at 30 fps

    def read(self) -> Frame | None:
        """Wait for the next frame; None after `close`."""
        with self._lock:
            while self._capture.isOpened():
                asked_s = time.monotonic()
                if not self._capture.grab():
                    raise self._lost(time.monotonic() - asked_s)
                captured_s = time.monotonic()
                if self._captured == 0:
                    self._first_s = captured_s
                index = self._captured
                self._captured += 1
                ok, bgr = self._capture.retrieve()
                if ok:
                    image: Image = self._cv2.cvtColor(bgr, self._cv2.COLOR_BGR2RGB)
                    return Frame(index, captured_s - self._first_s, image)
            return None

    def close(self) -> None:
        """Let go of the camera; waits for a `read` in progress, at most the read timeout."""
        with self._lock:
            self._capture.release()

    def _open_address(self, url: str, open_timeout_s: float) -> Any:
        parse_address(url)
        cv2 = self._cv2
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(self._read_timeout_s * 1000),
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
                raise SourceConnectError(f"{self.name}: there is no {path}; {_devices()}.")
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
