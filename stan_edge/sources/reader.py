"""A thread that reads a source and never waits for whoever uses the frames."""

from __future__ import annotations

import threading
import time
from collections import deque

from stan_edge.sources.frame import Frame, Source


class Reader:
    """Owns a source, reads it as fast as it delivers, and keeps the newest frames.

    When the buffer is full the oldest frame is dropped and counted: a slow consumer sees gaps, never delay.

    Args:
        source: read and closed by this reader.
        max_frames: frames kept for a consumer that is late.
    """

    def __init__(self, source: Source, max_frames: int) -> None:
        self._source = source
        self._frames: deque[Frame] = deque(maxlen=max(1, max_frames))
        self._changed = threading.Condition()
        self._dropped = 0
        self._finished = False
        self._closing = False
        self._error: Exception | None = None
        self._anchor_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"read {source.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames that were thrown away because nobody took them in time."""
        with self._changed:
            return self._dropped

    @property
    def ended(self) -> bool:
        """True once the source has finished (normally or not) and every buffered frame was taken."""
        with self._changed:
            return self._finished and not self._frames

    @property
    def anchor_s(self) -> float | None:
        """`time.monotonic` when the first frame arrived, less its `t_capture_s`; None before.

        For a source that keeps real time, `anchor_s + frame.t_capture_s` is when a frame was captured.
        """
        with self._changed:
            return self._anchor_s

    def get(self, timeout_s: float) -> Frame | None:
        """The oldest buffered frame, waiting for one at most `timeout_s`.

        None: nothing came in time, or the stream has ended (`ended` tells).

        Raises:
            SourceError: what the source raised, once every frame from before has been taken; again on
                every further call.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._frames) or self._finished, timeout_s)
            if self._frames:
                return self._frames.popleft()
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """Close the source and join the thread; frames still buffered are thrown away, uncounted."""
        with self._changed:
            self._closing = True
        self._source.close()
        self._thread.join()
        with self._changed:
            self._frames.clear()
            self._error = None

    def _run(self) -> None:
        try:
            while (frame := self._source.read()) is not None:
                with self._changed:
                    if self._closing:
                        break
                    if self._anchor_s is None:
                        self._anchor_s = time.monotonic() - frame.t_capture_s
                    if len(self._frames) == self._frames.maxlen:
                        self._dropped += 1  # the append below pushes the oldest out
                    self._frames.append(frame)
                    self._changed.notify_all()
        except Exception as error:  # the consumer's thread is where an error can be handled
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()
