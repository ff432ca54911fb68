"""A source that plays a script: for tests, and for trying how a configuration behaves when a camera fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from stan_edge.clock import SYSTEM_CLOCK, Clock
from stan_edge.errors import ConfigError, SourceError
from stan_edge.sources.frame import Frame
from stan_edge.types import Image


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
class _Repeat:
    duration_s: float
    fps: float


class Freeze(_Repeat):
    """The last picture again and again, as a hung encoder sends it."""


class Black(_Repeat):
    """Black pictures of the last size (480x640 if there was none)."""


class Duplicate(_Repeat):
    """The last frame is delivered again and again: the same number, the same capture time."""


class Damage(_Repeat):
    """Frames that could not be decoded, with the last picture in them."""


@dataclass(frozen=True)
class Jump:
    """From here on, the source's capture times are `by_s` later (or, negative, earlier) than they should be."""

    by_s: float


@dataclass(frozen=True)
class Fail:
    """`read` raises the error once; reading on plays the next step, as after a camera's reboot."""

    error: SourceError


@dataclass(frozen=True)
class Off:
    """`read` raises the error and for `duration_s` nothing is delivered, nor does the camera open."""

    duration_s: float
    error: SourceError


Step: TypeAlias = Show | Gap | _Repeat | Jump | Fail | Off


@dataclass(frozen=True, eq=False)
class Moment:
    """Something that happens at `due_s` of a script."""

    due_s: float
    frame: Frame | None = None
    failure: Fail | Off | None = None
    """Without either: the script ends."""


class ScriptedSource:
    """Plays steps in virtual time: the same script gives the same frames, and nothing sleeps.

    Args:
        steps: what happens, in order; then the stream ends.
        live: what the source says of itself.
        realtime: wait until each step and frame is due, as a camera would.
        clock: what `realtime` waits by; with a `SimulatedClock`, nothing sleeps either.

    Raises:
        ConfigError: a step has no frames per second, or a function but no duration.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        live: bool = True,
        realtime: bool = False,
        name: str = "script",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self.live = live
        self._moments = play(steps)
        self._realtime = realtime
        self._clock = clock
        self._closed = False
        self._start_s: float | None = None

    def read(self) -> Frame | None:
        """The next frame of the script; a `Fail` or `Off` step raises its error."""
        moment = None if self._closed else next(self._moments, None)
        if moment is None:
            return None
        if self._realtime:
            now_s = self._clock.now_s()
            self._start_s = now_s if self._start_s is None else self._start_s
            if self._clock.wait(lambda: self._closed, self._start_s + moment.due_s - now_s):
                return None
        if moment.failure is not None:
            raise moment.failure.error
        return moment.frame

    def close(self) -> None:
        """Wake a waiting `read` and end the stream."""
        self._closed = True
        self._clock.notify()


def play(steps: Sequence[Step]) -> Iterator[Moment]:
    """Everything that happens, in order; the last moment is empty.

    Raises:
        ConfigError: a step has no frames per second, or a function but no duration.
    """
    for step in steps:
        kind = type(step).__name__
        if isinstance(step, Show | _Repeat) and not step.fps > 0:
            raise ConfigError(f"{kind}: fps must be positive, not {step.fps}.")
        if isinstance(step, Show) and step.duration_s is None:
            if callable(step.pictures):
                raise ConfigError("Show: a function of time needs duration_s.")
        elif not isinstance(step, Fail | Jump) and not (step.duration_s or 0.0) >= 0:
            raise ConfigError(f"{kind}: duration_s must not be negative, not {step.duration_s}.")
    return _play(steps)


def _play(steps: Sequence[Step]) -> Iterator[Moment]:
    start_s = ahead_s = 0.0
    last = Frame(-1, 0.0, np.zeros((480, 640, 3), np.uint8))
    for step in steps:
        if isinstance(step, Fail | Off):
            yield Moment(start_s, failure=step)
        if isinstance(step, Gap | Off):
            start_s += step.duration_s
        if isinstance(step, Jump):
            ahead_s += step.by_s
        if not isinstance(step, Show | _Repeat):
            continue
        if isinstance(step, Show) and step.duration_s is None and not callable(step.pictures):
            count = len(step.pictures)
        else:
            count = round((step.duration_s or 0.0) * step.fps)
        for k in range(count):
            due_s = start_s + k / step.fps
            if not isinstance(step, Duplicate):
                image = _image(step, k, due_s, last.image)
                last = Frame(last.index + 1, due_s + ahead_s, image, damaged=isinstance(step, Damage))
            yield Moment(due_s, last)
        start_s += count / step.fps
    yield Moment(start_s)


def _image(step: Show | _Repeat, k: int, t_s: float, last: Image) -> Image:
    if isinstance(step, Show):
        return step.pictures(t_s) if callable(step.pictures) else step.pictures[k % len(step.pictures)]
    return np.zeros_like(last) if isinstance(step, Black) else last
