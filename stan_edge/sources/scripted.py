"""A source that plays a script: for tests, and for trying how a configuration behaves when a camera fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from stan_edge.errors import ConfigError, SourceError
from stan_edge.sources.frame import Frame, Image


@dataclass(frozen=True, eq=False)
class Show:
    """Pictures at a steady rate: each of a list once, or a function of source time for `duration_s`."""

    pictures: Sequence[Image] | Callable[[float], Image]
    fps: float
    duration_s: float | None = None
    """Needed with a function; with a list, the list is repeated or cut to fill it."""


@dataclass(frozen=True)
class Gap:
    """Nothing is delivered; time passes."""

    duration_s: float


@dataclass(frozen=True)
class Freeze:
    """The last picture again and again, as a hung encoder sends it."""

    duration_s: float
    fps: float


@dataclass(frozen=True)
class Black:
    """Black pictures of the last size (480x640 if there was none)."""

    duration_s: float
    fps: float


@dataclass(frozen=True)
class Fail:
    """`read` raises the error once; reading on plays the next step, as after a camera's reboot."""

    error: SourceError


Step: TypeAlias = Show | Gap | Freeze | Black | Fail


class ScriptedSource:
    """Plays steps in virtual time: the same script gives the same frames, and nothing sleeps.

    Args:
        steps: what happens, in order; then the stream ends.
        live: what the source says of itself.
        realtime: sleep until each step and frame is due, as a camera would.

    Raises:
        ConfigError: a step has no frames per second, or a function but no duration.
    """

    def __init__(
        self, steps: Sequence[Step], *, live: bool = True, realtime: bool = False, name: str = "script"
    ) -> None:
        self.name = name
        self.live = live
        for step in steps:
            _check(step)
        self._moments = _play(steps)
        self._realtime = realtime
        self._closed = threading.Event()
        self._start_s: float | None = None
        self._index = 0

    def read(self) -> Frame | None:
        """The next frame of the script; a `Fail` step raises its error."""
        if self._closed.is_set():
            return None
        moment = next(self._moments, None)
        if moment is None:
            return None
        t_s, content = moment
        if self._realtime and not self._wait_until(t_s):
            return None
        if isinstance(content, SourceError):
            raise content
        if content is None:
            return None
        frame = Frame(self._index, t_s, content)
        self._index += 1
        return frame

    def close(self) -> None:
        """Wake a waiting `read` and end the stream."""
        self._closed.set()

    def _wait_until(self, t_s: float) -> bool:
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s
        return not self._closed.wait(max(0.0, self._start_s + t_s - now_s))


def _check(step: Step) -> None:
    if isinstance(step, Fail):
        return
    if isinstance(step, Show | Freeze | Black) and not step.fps > 0:
        raise ConfigError(f"{type(step).__name__}: fps must be positive, not {step.fps}.")
    if isinstance(step, Show) and step.duration_s is None:
        if callable(step.pictures):
            raise ConfigError("Show: a function of time needs duration_s.")
        return
    if step.duration_s is not None and not step.duration_s >= 0:
        raise ConfigError(f"{type(step).__name__}: duration_s must not be negative, not {step.duration_s}.")


def _play(steps: Sequence[Step]) -> Iterator[tuple[float, Image | SourceError | None]]:
    """(time, picture or error) of everything that happens; the last is (end, None)."""
    start_s = 0.0
    last: Image = np.zeros((480, 640, 3), np.uint8)
    for step in steps:
        if isinstance(step, Gap):
            start_s += step.duration_s
            continue
        if isinstance(step, Fail):
            yield start_s, step.error
            continue
        if isinstance(step, Show) and step.duration_s is None:
            count = 0 if callable(step.pictures) else len(step.pictures)
        else:
            count = round((step.duration_s or 0.0) * step.fps)
        for k in range(count):
            t_s = start_s + k / step.fps
            if isinstance(step, Black):
                last = np.zeros_like(last)
            elif isinstance(step, Show):
                pictures = step.pictures
                last = pictures(t_s) if callable(pictures) else pictures[k % len(pictures)]
            yield t_s, last
        start_s += count / step.fps
    yield start_s, None
