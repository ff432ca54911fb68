"""A recording that behaves like a camera."""

from __future__ import annotations

import threading
import time

from stan_edge.sources.frame import Frame, Source


class PacedSource:
    """Delivers each frame of a recording when its time has come, counted from the first `read`.

    A caller that comes late gets the frames it has missed at once and in order; put a `Reader` in front to
    lose the oldest instead, as with a camera.
    """

    live = True

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._closed = threading.Event()
        self._start_s: float | None = None

    def read(self) -> Frame | None:
        """The next frame, not before its time."""
        if self._closed.is_set():
            return None
        frame = self._source.read()
        if frame is None:
            return None
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s - frame.t_capture_s
        wait_s = self._start_s + frame.t_capture_s - now_s
        if wait_s > 0 and self._closed.wait(wait_s):
            return None
        return frame

    def close(self) -> None:
        """Wake a waiting `read` and close the recording."""
        self._closed.set()
        self._source.close()
