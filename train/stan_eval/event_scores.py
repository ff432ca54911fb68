"""Events against the intervals in which their activity is visible: found, false alarms, delay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_eval.intervals import Draws, Figure, Unit, proportion, rate

SLACK_S = 0.5
"""Nobody marks the beginning of a movement better than this."""
Interval = tuple[float, float]
"""Start and end in seconds."""


def overlap(alarm: Interval, target: Interval) -> bool:
    """Whether an alarm falls into an interval, half a second added at both ends of the interval."""
    return alarm[0] <= target[1] + SLACK_S and alarm[1] >= target[0] - SLACK_S


def outside_s(duration_s: float, intervals: Iterable[Interval]) -> float:
    """How much of a clip lies in none of the intervals, half a second added at both of their ends."""
    left_s, end_s = duration_s, 0.0
    for interval in sorted(intervals):
        start_s = max(interval[0] - SLACK_S, end_s)
        end_s = max(min(interval[1] + SLACK_S, duration_s), end_s)
        left_s -= max(end_s - start_s, 0.0)
    return left_s


@dataclass(frozen=True)
class Alarm:
    """An event as a user meets it."""

    label: str
    t_start_s: float
    t_end_s: float
    announced_s: float
    """End of the window with which the event was announced; what computing takes is not in it."""
    peak_probability: float

    def overlaps(self, interval: Interval) -> bool:
        return overlap((self.t_start_s, self.t_end_s), interval)


@dataclass(frozen=True)
class ClipEvents:
    """The events of one clip beside what really happens in it."""

    unit: Unit
    label: str
    duration_s: float
    important_s: tuple[Interval, ...]
    """When the label's activity is visible; none for background, the whole clip where nobody marked it."""
    marked: bool
    """False: nobody said when in the clip it happens, so that nothing can be late."""
    ignored_s: tuple[Interval, ...]
    alarms: tuple[Alarm, ...]

    def found(self, interval: Interval) -> Alarm | None:
        """The first announced event of the clip's activity that overlaps one of its intervals."""
        hits = [alarm for alarm in self.alarms if alarm.label == self.label and alarm.overlaps(interval)]
        return min(hits, key=lambda alarm: alarm.announced_s, default=None)

    def is_false(self, alarm: Alarm) -> bool:
        """Whether nothing of the kind happens there, nor anything that is ignored."""
        marked_s = self.important_s + self.ignored_s if alarm.label == self.label else ()
        return not any(alarm.overlaps(interval) for interval in marked_s)

    def watched_s(self, labels: set[str]) -> float:
        """For how long an alarm of one of the labels would be false."""
        if labels != {self.label}:
            return self.duration_s
        return outside_s(self.duration_s, self.important_s + self.ignored_s)


@dataclass(frozen=True)
class EventFigures:
    """Of one alarm class, or of all."""

    events: int
    found: int
    recall: Figure | None
    false_alarms: int
    hours: float
    """Time in which an alarm would be false; see `ClipEvents.watched_s`."""
    false_alarms_per_hour: Figure | None
    delay_median: Figure | None
    """From the beginning of the interval to the announcement."""
    delay_p90: Figure | None


@dataclass(frozen=True)
class EventReport:
    by_alarm: dict[str, EventFigures]
    overall: EventFigures


def event_figures(clips: Sequence[ClipEvents], alarms: Sequence[str]) -> EventReport:
    """Figures of each alarm class, and of all together."""
    return EventReport({label: _figures(clips, {label}) for label in alarms}, _figures(clips, set(alarms)))


def _figures(clips: Sequence[ClipEvents], labels: set[str]) -> EventFigures:
    draws = Draws(clip.unit for clip in clips)
    hours = sum(clip.watched_s(labels) for clip in clips) / 3600
    false = sum(alarm.label in labels and clip.is_false(alarm) for clip in clips for alarm in clip.alarms)
    judged = [(c, interval[0], c.found(interval)) for c in clips if c.label in labels for interval in c.important_s]
    found = sum(alarm is not None for _, _, alarm in judged)
    timed = [(c.unit, start_s, alarm) for c, start_s, alarm in judged if c.marked]
    groups = len({unit for unit, _, _ in timed})
    delays = [(unit, max(a.announced_s - start_s, 0.0)) for unit, start_s, a in timed if a is not None]

    def delay(quantile: float) -> Figure | None:
        values = _quantiles(draws, delays, lambda some: float(np.quantile(some, quantile)))
        return draws.figure(values, len(delays), groups, "seconds")

    return EventFigures(
        events=len(judged),
        found=found,
        recall=proportion(found, len(judged)),
        false_alarms=false,
        hours=hours,
        false_alarms_per_hour=rate(false, hours),
        delay_median=delay(0.5),
        delay_p90=delay(0.9),
    )


def _quantiles(
    draws: Draws, delays: Iterable[tuple[Unit, float]], quantile: Callable[[NDArray[np.float64]], float]
) -> NDArray[np.float64]:
    pairs = list(delays)
    seconds, places = np.array([s for _, s in pairs]), draws.places([unit for unit, _ in pairs])
    times = draws.weights[:, places].astype(np.int64)  # [1 + B, N]
    return np.array([quantile(np.repeat(seconds, row)) if row.sum() else np.nan for row in times])
