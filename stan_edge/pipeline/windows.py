"""Windows of evenly spaced frames, cut from a stream by capture time, never by frame count.

The stream is sampled on a grid of ticks (`window_s / frames` apart). Windows start every `hop_s`, a multiple of
the tick, so that overlapping windows hold the very same frames and each frame is explained several times.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stan_edge.model.contract import InputSpec
from stan_edge.person.tracking import Region
from stan_edge.sources import Frame
from stan_edge.types import Image

MAX_SHIFT_S = 0.15
"""Farthest a frame may lie from its tick: a camera below 3.3 frames a second is too slow for a 10 Hz grid."""
FREEZE_S = 1.0
"""Identical pictures from a camera for this long mean that it hangs, not that the room is still: sensors are noisy."""
NO_PICTURE = np.zeros((0, 0, 3), np.uint8)
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
    """One for each tick; fewer where the stream broke."""
    reason: str | None
    """Why the window must not be believed (gap, reconnect, clock, damaged, resized, black, frozen); None for a valid
    one."""
    breaks: bool = False
    """The stream broke in it: nothing before it goes on after it."""

    def without_pictures(self) -> Window:
        """The same window with empty pictures and no masks."""
        samples = tuple(
            replace(sample, frame=replace(sample.frame, image=NO_PICTURE), region=replace(sample.region, mask=None))
            for sample in self.samples
        )
        return replace(self, samples=samples)


class Sampler:
    """Picks for every tick the frame closest to it, as soon as no later frame can be closer.

    Args:
        from_s: ticks before this time are left out.
    """

    def __init__(self, tick_s: float, from_s: float = 0.0) -> None:
        self._tick_s = tick_s
        self._next_tick = math.ceil(from_s / tick_s - 1e-6)
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

    Where the stream breaks (a new segment, or nothing for longer than a window) the window that was due is given up
    and sampling starts anew: no window spans a break, and an hour of silence costs one window, not 18,000.

    Args:
        spec: the model's input; gives window length and tick.
        hop_s: distance between window starts.
        live: cameras can hang or be covered, and then the window is not valid; a recording is what it is.
    """

    def __init__(self, spec: InputSpec, hop_s: float, *, live: bool) -> None:
        self._spec = spec
        self._hop_ticks = spec.hop_ticks(hop_s)
        self._live = live
        self._sampler = Sampler(spec.tick_s)
        self._samples: deque[Sample] = deque(maxlen=spec.frames)
        self._first_tick = 0  # since the last break
        self._last: Frame | None = None
        self._number = 0

    def feed(self, frame: Frame, region: Region) -> list[Window]:
        """Take a frame (in order of capture) and the region known at that time; returns windows now due."""
        broken = []
        reason = self._break(frame)
        if reason is not None:
            broken = self._give_up(reason)
            self._sampler = Sampler(self._spec.tick_s, frame.t_capture_s)
        self._last = frame
        return broken + self._take(self._sampler.feed(frame, region))

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

    def _break(self, frame: Frame) -> str | None:
        """The reason where the stream has broken before this frame, otherwise None."""
        last = self._last
        if last is None:
            return None
        if frame.segment.number != last.segment.number:
            return frame.segment.began
        return "gap" if frame.t_capture_s - last.t_capture_s > self._spec.window_s else None

    def _give_up(self, reason: str) -> list[Window]:
        """The window that was due next, as far as it got, if anything was sampled since the last break."""
        if not self._samples:
            return []
        newest = self._samples[-1].tick
        behind = max(newest - self._spec.frames + 1, self._first_tick - 1)  # the last window that was due started here
        start_tick = (behind // self._hop_ticks + 1) * self._hop_ticks
        samples = tuple(sample for sample in self._samples if sample.tick >= start_tick)
        self._samples.clear()
        return [self._window(start_tick, samples, reason, breaks=True)]

    def _take(self, samples: list[Sample]) -> list[Window]:
        windows = []
        for sample in samples:
            if not self._samples:
                self._first_tick = sample.tick
            self._samples.append(sample)
            start_tick = sample.tick - self._spec.frames + 1
            if start_tick >= self._first_tick and start_tick % self._hop_ticks == 0:
                taken = tuple(self._samples)
                windows.append(self._window(start_tick, taken, self._reason(taken)))
        return windows

    def _window(
        self, start_tick: int, samples: tuple[Sample, ...], reason: str | None, *, breaks: bool = False
    ) -> Window:
        start_s = start_tick * self._spec.tick_s
        window = Window(self._number, start_s, start_s + self._spec.window_s, samples, reason, breaks)
        self._number += 1
        return window

    def _reason(self, samples: tuple[Sample, ...]) -> str | None:
        if max(sample.shift_s for sample in samples) > MAX_SHIFT_S:
            return "gap"
        if any(sample.frame.damaged for sample in samples):
            return "damaged"
        if len({sample.frame.image.shape for sample in samples}) > 1:
            return "resized"
        if self._live:
            if any(sample.is_black for sample in samples):
                return "black"
            if self._is_frozen(samples):
                return "frozen"
        return None

    def _is_frozen(self, samples: tuple[Sample, ...]) -> bool:
        """A picture stayed for `FREEZE_S`, or there are no more of them than from a camera that is too slow.

        The latter is a camera that fills the gaps with copies: they are no pictures of the room at their time. Every
        eighth pixel is compared.
        """
        changes, since_s = 0, samples[0].frame.t_capture_s
        for before, after in itertools.pairwise(samples):
            t_s = after.frame.t_capture_s
            if not np.array_equal(before.thinned, after.thinned):
                if t_s - since_s >= FREEZE_S:
                    return True
                changes += 1
                since_s = t_s
        stayed_s = samples[-1].frame.t_capture_s - since_s
        return stayed_s >= FREEZE_S or changes < int(self._spec.window_s / (2 * MAX_SHIFT_S))
