"""The most important frames, apart from each other in time."""

from __future__ import annotations

from dataclasses import dataclass

from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.types import Image


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """One of the most important frames."""

    frame: TimelineFrame
    picture: Image


class KeyFrames:
    """Keeps the strongest of the frames that it gets.

    Args:
        most: frames that are chosen at the end.
        kept: candidates until then, so that close neighbours can give way.
        gap_s: least time between two that are chosen.
    """

    def __init__(self, most: int, kept: int, gap_s: float) -> None:
        self._most, self._kept, self._gap_s = most, kept, gap_s
        self._candidates: list[KeyFrame] = []

    def add(self, frame: TimelineFrame, picture: Image) -> None:
        self._candidates.append(KeyFrame(frame, picture))
        if len(self._candidates) > self._kept:
            self._candidates.remove(min(self._candidates, key=_strength))

    def chosen(self) -> tuple[KeyFrame, ...]:
        """The strongest that lie `gap_s` apart, in order of time."""
        chosen: list[KeyFrame] = []
        for key in sorted(self._candidates, key=_strength, reverse=True):
            if len(chosen) < self._most and all(abs(key.frame.t_s - o.frame.t_s) >= self._gap_s for o in chosen):
                chosen.append(key)
        return tuple(sorted(chosen, key=lambda key: key.frame.t_s))


def _strength(key: KeyFrame) -> float:
    return key.frame.importance or 0.0
