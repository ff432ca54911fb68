"""A camera that is opened again, for ever, whenever it is lost; how long to wait before is set here."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.errors import SourceAuthError, SourceError, StanEdgeError
from stan_edge.records import CameraState, Status
from stan_edge.sources.crop import Crop
from stan_edge.sources.frame import Frame, Segment, Source

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
AUTH_RETRY_S = 60.0
"""Many cameras lock an account after a few wrong passwords."""
JITTER = 0.2
"""Cameras behind one switch come back together; those who ask them must not."""
HEALTHY_S = 10.0
"""A connection that lasted this long starts the back-off anew."""
CLOCK_LEAP_S = 1.0
"""Nothing is captured later than it arrives; a source that is ahead by this much has a clock that jumped."""


def retry_s(failures: int, error: StanEdgeError, rng: random.Random) -> float:
    """How long to wait after so many failures in a row."""
    wait_s = min(FIRST_RETRY_S * 2 ** min(failures - 1, 16), LONGEST_RETRY_S)  # the inner limit: no overflow
    if isinstance(error, SourceAuthError):
        wait_s = AUTH_RETRY_S
    return wait_s * rng.uniform(1 - JITTER, 1 + JITTER)


class Reconnecting:
    """Delivers the frames of one connection after another, and between them a `Status` of what happens.

    Frame numbers and times go on over connections; each one begins a new segment, and so does a jump of the
    source's own times.

    Args:
        name: of the camera, in records.
        connect: opens the camera; raises SourceError where it cannot.
        wait: also wait for a camera that is not there yet. Otherwise whatever prevents the first frame is raised.
        crop: the part of the picture that `connect` cuts out, for the records.
        rng: of the jitter.
    """

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Source],
        *,
        wait: bool = False,
        crop: Crop | None = None,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._wait = wait
        self.crop = crop
        self._clock = clock
        self._rng = rng or random.Random()
        self._closed = False
        self._source: Source | None = None
        self._ready: deque[Frame | Status] = deque()
        self._failures = 0
        self._attempt = 0
        self._retry_at_s = clock.now_s()
        self._reported: type[StanEdgeError] | None = None
        self._start_s: float | None = None  # when the very first frame arrived
        self._online_s: float | None = None  # when the first frame of this connection did
        self._offset_s = 0.0
        self._offset_index = 0
        self._segment = Segment()
        self._last: Frame | None = None
        if wait:
            self._report("connecting")

    def read(self) -> Frame | Status | None:
        """The next frame or status; None after `close`, and when the source has ended normally.

        Raises:
            SourceError: there was no first frame, and `wait` is not set.
            ConfigError: the same, and waiting would not help.
        """
        while not self._closed:
            if self._ready:
                return self._ready.popleft()
            try:
                source = self._connected()
                frame = None if source is None else source.read()
            except StanEdgeError as error:
                self._lose(error)
                continue
            if frame is None:
                return None
            self._take(frame)
        return None

    def close(self) -> None:
        """Let go of the camera and wake a `read` that waits to try again."""
        self._closed = True
        self._clock.notify()
        self._let_go()

    def _connected(self) -> Source | None:
        """The source, opened when its time has come; None after `close`."""
        if self._source is None:
            if self._clock.wait(lambda: self._closed, self._retry_at_s - self._clock.now_s()):
                return None
            self._attempt += 1
            self._source = self._connect()
            if self._closed:
                self._let_go()
        return self._source

    def _let_go(self) -> None:
        if self._source is not None:
            self._source.close()

    def _lose(self, error: StanEdgeError) -> None:
        self._let_go()
        self._source = None
        if self._start_s is None and not (self._wait and isinstance(error, SourceError)):
            raise error
        now_s = self._clock.now_s()
        if self._online_s is not None:
            self._failures = 0 if now_s - self._online_s >= HEALTHY_S else self._failures
            self._attempt = 0
            self._report("lost", error)
        elif type(error) is not self._reported:  # not every attempt: a weekend without a camera is 8,000 of them
            self._report("connecting", error)
        self._online_s = None
        self._failures += 1
        self._retry_at_s = now_s + retry_s(self._failures, error, self._rng)

    def _take(self, frame: Frame) -> None:
        now_s = self._clock.now_s()
        self._start_s = now_s if self._start_s is None else self._start_s
        arrived_s = now_s - self._start_s
        last = self._last
        began: Literal["start", "reconnect", "clock"] | None = None
        if self._online_s is None:
            began = "start" if last is None else "reconnect"
            self._online_s = now_s
            self._offset_index = 0 if last is None else last.index + 1 - frame.index
            self._report("online")
        elif last is not None:
            t_s = frame.t_capture_s + self._offset_s
            began = "clock" if t_s < last.t_capture_s or t_s - arrived_s > CLOCK_LEAP_S else None
        if began is not None:
            # what was a little ahead of its arrival stays where it is: times never fall
            self._offset_s = max(arrived_s, last.t_capture_s if last else 0.0) - frame.t_capture_s
            self._segment = Segment(0 if last is None else last.segment.number + 1, began)
        self._last = replace(
            frame,
            index=frame.index + self._offset_index,
            t_capture_s=frame.t_capture_s + self._offset_s,
            segment=self._segment,
        )
        self._ready.append(self._last)

    def _report(self, state: CameraState, error: StanEdgeError | None = None) -> None:
        self._reported = type(error) if error else None
        t_s = 0.0 if self._start_s is None else self._clock.now_s() - self._start_s
        reason = str(error) if error else None
        self._ready.append(Status(self.name, state, reason, self._attempt, t_s))
