"""A thread that reads a source and never waits for whoever uses the frames."""

from __future__ import annotations

import math
import threading
from collections import deque

from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.records import CameraState, Status
from stan_edge.sources.frame import Feed, Frame

MAX_BYTES = 64 * 2**20
"""Ten frames of 1080p, two of 4K."""
STALL_S = 1.5
"""A source that was there and is silent for this long has stalled."""
CLOSE_S = 0.5
THREAD_PREFIX = "read "


class Reader:
    """Owns a source, reads it as fast as it delivers, and keeps the newest frames.

    When the buffer is full the oldest frame is dropped and counted: a slow consumer sees gaps, never delay.

    Args:
        source: read and closed by this reader.
        max_frames: frames kept for a consumer that is late.
        max_bytes: what their pictures may take together; the newest one is always kept.
    """

    def __init__(
        self, source: Feed, max_frames: int, max_bytes: int = MAX_BYTES, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._source = source
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._items: deque[Frame | Status] = deque()
        self._frames = 0
        self._bytes = 0
        self.dropped = 0
        """Frames that were thrown away because nobody took them in time."""
        self.duplicates = 0
        """Frames that were thrown away because they were the one before again, with its capture time."""
        self.anchor_s: float | None = None
        """The clock when the first frame arrived, less its `t_capture_s`; None before.

        For a source that keeps real time, `anchor_s + frame.t_capture_s` is when a frame was captured.
        """
        self._finished = False
        self._closing = False
        self._error: Exception | None = None
        self._last: Frame | None = None
        self._arrived_s = math.inf  # of the last frame; inf while nothing is expected
        self._stalled = False
        self._thread = threading.Thread(target=self._run, name=THREAD_PREFIX + source.name, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True once the source has finished (normally or not) and every buffered frame was taken."""
        with self._lock:
            return self._finished and not self._items

    def get(self, timeout_s: float) -> Frame | Status | None:
        """The oldest buffered frame or status, waiting for one at most `timeout_s`.

        A source that has been silent for `STALL_S` is reported as stalled, once, and as online with its next frame.
        None: nothing came in time, or the stream has ended (`ended` tells).

        Raises:
            SourceError: what the source raised, once every frame from before has been taken; again on
                every further call.
        """
        silent_s = self._clock.now_s() - self._arrived_s
        self._clock.wait(lambda: bool(self._items) or self._finished, min(timeout_s, STALL_S - silent_s))
        with self._lock:
            if self._items:
                return self._take(0)
            if self._error is not None:
                raise self._error
            if not self._finished and self._clock.now_s() - self._arrived_s >= STALL_S - 1e-3:
                self._stalled = True
                self._arrived_s = math.inf
                return self._status("stalled", f"{self._source.name} has delivered nothing for {STALL_S:g} s.")
            return None

    def close(self) -> None:
        """Close the source and stop the thread; frames still buffered are thrown away, uncounted.

        A native call that hangs (opening a camera, waiting for its next frame) cannot be interrupted. Its thread is
        left behind after `CLOSE_S` and lets go of the source when the call comes back.
        """
        with self._lock:
            self._closing = True
        self._source.close()
        self._thread.join(CLOSE_S)
        with self._lock:
            self._items.clear()
            self._frames = self._bytes = 0
            self._error = None

    def _run(self) -> None:
        try:
            while (item := self._source.read()) is not None:
                with self._lock:
                    if self._closing:
                        break
                    if isinstance(item, Frame):
                        self._put_frame(item)
                    else:
                        self._stalled = False
                        self._arrived_s = math.inf
                        self._items.append(item)
                self._clock.notify()
        except Exception as error:  # the consumer's thread is where an error can be handled
            self._error = error
        finally:
            with self._lock:
                self._finished = True
            self._clock.notify()

    def _put_frame(self, frame: Frame) -> None:
        last, self._last = self._last, frame
        again = last is not None and last.t_capture_s == frame.t_capture_s and last.segment == frame.segment
        if again:  # no sign of life, either
            self.duplicates += 1
            return
        now_s = self._clock.now_s()
        if self.anchor_s is None:
            self.anchor_s = now_s - frame.t_capture_s
        self._arrived_s = now_s
        if self._stalled:
            self._stalled = False
            self._items.append(self._status("online", None))
        self._items.append(frame)
        self._frames += 1
        self._bytes += frame.image.nbytes
        while self._frames > 1 and (self._frames > self._max_frames or self._bytes > self._max_bytes):
            self._take(next(k for k, item in enumerate(self._items) if isinstance(item, Frame)))
            self.dropped += 1

    def _take(self, position: int) -> Frame | Status:
        item = self._items[position]
        del self._items[position]
        if isinstance(item, Frame):
            self._frames -= 1
            self._bytes -= item.image.nbytes
        return item

    def _status(self, state: CameraState, reason: str | None) -> Status:
        return Status(self._source.name, state, reason, 0, self._clock.now_s() - (self.anchor_s or 0.0))
