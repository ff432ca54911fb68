"""When an activity shows, and when an alarm counts as one for it: the same in calibration and evaluation."""

from __future__ import annotations

from collections.abc import Iterable

SLACK_S = 0.5
"""Nobody marks the beginning of a movement better than this."""

Interval = tuple[float, float]
"""Start and end in seconds."""


def overlap(alarm: Interval, shown: Interval) -> bool:
    """Whether an alarm falls into an interval, half a second added at both ends of the interval."""
    return alarm[0] <= shown[1] + SLACK_S and alarm[1] >= shown[0] - SLACK_S


def outside_s(duration_s: float, shown: Iterable[Interval]) -> float:
    """How much of a clip lies in none of the intervals, half a second added at both of their ends."""
    left_s, end_s = duration_s, 0.0
    for interval in sorted(shown):
        start_s = max(interval[0] - SLACK_S, end_s)
        end_s = max(min(interval[1] + SLACK_S, duration_s), end_s)
        left_s -= max(end_s - start_s, 0.0)
    return left_s
