"""Windows of evenly spaced frames, cut from a stream by capture time, never by frame count.

The stream is sampled on a grid of ticks (`window_s / frames` apart). Windows start every `hop_s`, a multiple of
the tick, so that overlapping windows hold the very same frames and each frame is explained several times.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stan_edge.contract import InputSpec
from stan_edge.errors import ConfigError
from stan_edge.person import Region
from stan_edge.sources import Frame, Image

MAX_SHIFT_S = 0.15
"""Farthest a frame may lie from its tick: a camera below 3.3 frames a second is too slow for a 10 Hz grid."""
FREEZE_S = 1.0
"""Identical pictures from a camera for this long mean that it hangs, not that the room is still: sensors are noisy."""
BLACK_LEVEL = 8
"""A picture whose 99th percentile is below this shows nothing (a covered lens, a failed decoder)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """The frame taken for a tick, with the person's region at that time."""

    tick: int
    frame: Frame
    region: Region
    shift_s: float
    """Distance between the frame's capture time and its tick."""

    @cached_property
    def is_black(self) -> bool:
        """True when the picture shows nothing."""
        return bool(np.percentile(self.thinned, 99) < BLACK_LEVEL)

    @cached_property
    def thinned(self) -> Image:
        """Every eighth pixel, kept, because up to `frames / hop` windows ask for it."""
        return self.frame.image[::8, ::8].copy()


@dataclass(frozen=True, eq=False)
class Window:
    """Frames that go through the network together."""

    number: int
    t_start_s: float
    t_end_s: float
    samples: tuple[Sample, ...]
    reason: str | None
    """Why the window must not be believed (gap, resized, black, frozen); None for a valid one."""


class Sampler:
    """Picks for every tick the frame closest to it, as soon as no later frame can be closer."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._next_tick = 0
        self._previous: tuple[Frame, Region] | None = None

    def feed(self, frame: Frame, region: Region) -> list[Sample]:
        """Take a frame; returns the samples that are decided by it, in order of their ticks."""
        samples = []
        while (t_tick_s := self._next_tick * self._tick_s) <= frame.t_capture_s + 1e-6:
            best = (frame, region)
            # ties go to the earlier frame
            if (
                self._previous
                and abs(self._previous[0].t_capture_s - t_tick_s) <= abs(frame.t_capture_s - t_tick_s) + 1e-6
            ):
                best = self._previous
            samples.append(Sample(self._next_tick, *best, abs(best[0].t_capture_s - t_tick_s)))
            self._next_tick += 1
        self._previous = (frame, region)
        return samples

    def finish(self) -> list[Sample]:
        """The last tick at the end of a stream, when its frame came slightly before it."""
        if self._previous is None:
            return []
        frame, region = self._previous
        shift_s = self._next_tick * self._tick_s - frame.t_capture_s
        return [Sample(self._next_tick, frame, region, shift_s)] if shift_s <= self._tick_s / 2 else []


class Windower:
    """Turns frames into windows.

    Args:
        spec: the model's input; gives window length and tick.
        hop_s: distance between window starts.
        live: cameras can hang or be covered, and then the window is not valid; a recording is what it is.
    """

    def __init__(self, spec: InputSpec, hop_s: float, *, live: bool) -> None:
        self._spec = spec
        self.hop_ticks = hop_ticks(spec, hop_s)
        self._live = live
        self._sampler = Sampler(spec.tick_s)
        self._samples: deque[Sample] = deque(maxlen=spec.frames)
        self._number = 0

    def feed(self, frame: Frame, region: Region) -> list[Window]:
        """Take a frame (in order of capture) and the region known at that time; returns windows now due."""
        return self._take(self._sampler.feed(frame, region))

    def finish(self) -> list[Window]:
        """Windows still due at the end of a stream.

        A stream shorter than one window gives one window that repeats its last frame.
        """
        windows = self._take(self._sampler.finish())
        if self._number == 0 and not windows and self._samples:
            last = self._samples[-1]
            missing = range(last.tick + 1, self._spec.frames)
            windows = self._take([Sample(tick, last.frame, last.region, 0.0) for tick in missing])
        return windows

    def _take(self, samples: list[Sample]) -> list[Window]:
        windows = []
        for sample in samples:
            self._samples.append(sample)
            start_tick = sample.tick - self._spec.frames + 1
            if start_tick >= 0 and start_tick % self.hop_ticks == 0:
                windows.append(self._window(start_tick))
        return windows

    def _window(self, start_tick: int) -> Window:
        samples = tuple(self._samples)
        start_s = start_tick * self._spec.tick_s
        window = Window(self._number, start_s, start_s + self._spec.window_s, samples, self._reason(samples))
        self._number += 1
        return window

    def _reason(self, samples: tuple[Sample, ...]) -> str | None:
        if max(sample.shift_s for sample in samples) > MAX_SHIFT_S:
            return "gap"
        if len({sample.frame.image.shape for sample in samples}) > 1:
            return "resized"
        if self._live:
            if any(sample.is_black for sample in samples):
                return "black"
            if _longest_freeze_s(samples) >= FREEZE_S:
                return "frozen"
        return None


def hop_ticks(spec: InputSpec, hop_s: float) -> int:
    """The hop in ticks.

    Raises:
        ConfigError: it is not a positive multiple of the tick, or leaves frames between windows.
    """
    try:
        return spec.hop_ticks(hop_s)
    except ValueError as error:
        raise ConfigError(
            f"--hop {hop_s:g}: must be a multiple of {spec.tick_s:g} s, from {spec.tick_s:g} to {spec.window_s:g} s."
        ) from error


def _longest_freeze_s(samples: tuple[Sample, ...]) -> float:
    """Longest time over which different frames hold the same picture (every eighth pixel is compared)."""
    longest_s = since_s = 0.0
    for before, after in itertools.pairwise(samples):
        step_s = after.frame.t_capture_s - before.frame.t_capture_s
        same = np.array_equal(before.thinned, after.thinned)
        since_s = since_s + step_s if same else 0.0
        longest_s = max(longest_s, since_s)
    return longest_s
