"""Overlapping windows joined into one importance per frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from stan_edge.records import FrameScore, WindowResult


@dataclass(frozen=True)
class TimelineFrame:
    """What all windows together say of one frame.

    `importance` is the mean over the explained windows that hold the frame, weighted by the probability of the class
    each of them explains; windows that say background vote 0, with the probability of that, explained or not. None:
    no such window held the frame.
    """

    t_s: float
    index: int
    label: str | None
    importance: float | None

    def is_important(self, thresholds: Mapping[str, float]) -> bool:
        """Whether its importance reaches the threshold of its label."""
        threshold = self.threshold(thresholds)
        return threshold is not None and (self.importance or 0.0) >= threshold

    def threshold(self, thresholds: Mapping[str, float]) -> float | None:
        """The threshold of its label, None without a label."""
        return None if self.label is None else thresholds[self.label]


@dataclass
class _Tick:
    t_s: float
    index: int
    weight: float = 0.0
    by_label: dict[str, float] = field(default_factory=dict)

    def importance(self, label: str) -> float | None:
        """None where no window has explained this class, or only with probability 0."""
        return self.by_label[label] / self.weight if self.weight and label in self.by_label else None


class Timeline:
    """Joins the windows of one camera; memory holds one window's worth of frames.

    Args:
        background: windows with this label vote 0 for their frames.
        hop_ticks: a frame is final once no later window can hold it.
    """

    def __init__(self, background: str | None, hop_ticks: int) -> None:
        self._background = background
        self._hop_ticks = hop_ticks
        self._open: deque[_Tick] = deque()

    def add(self, result: WindowResult) -> list[TimelineFrame]:
        """Take the next window (in order, also when not valid); returns the frames that are final now."""
        # frames left open by the last window are the first ones of this window
        self._open.extend(_Tick(frame.t_s, frame.index) for frame in result.frames[len(self._open) :])
        if result.valid and result.label is not None and result.probabilities is not None:
            says_nothing = result.label == self._background
            label = result.label if says_nothing else result.target_class or result.label
            weight = result.probabilities[label]
            for tick, frame in zip(self._open, result.frames, strict=True):
                if says_nothing:
                    tick.weight += weight
                elif frame.score is not None:  # a window that was only labelled says nothing of its frames
                    tick.weight += weight
                    tick.by_label[label] = tick.by_label.get(label, 0.0) + weight * frame.score
        return [self._pop() for _ in range(min(self._hop_ticks, len(self._open)))]

    def provisional(self, label: str) -> list[FrameScore]:
        """Importance for one label, so far, of the frames that can still change; None: no window has explained it."""
        return [FrameScore(tick.t_s, tick.index, tick.importance(label), False) for tick in self._open]

    def finish(self) -> list[TimelineFrame]:
        """The rest, at the end of the stream or where it breaks."""
        return [self._pop() for _ in range(len(self._open))]

    def _pop(self) -> TimelineFrame:
        tick = self._open.popleft()
        label = max(tick.by_label, key=tick.by_label.__getitem__, default=None)
        if not tick.weight:
            return TimelineFrame(tick.t_s, tick.index, None, None)
        return TimelineFrame(tick.t_s, tick.index, label, tick.importance(label) if label else 0.0)
