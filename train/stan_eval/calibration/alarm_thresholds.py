"""Enter, leave, minimum duration and merge gap of an alarm, chosen by replaying recorded window probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import EventSpec
from stan_eval.event_scores import Interval, outside_s, overlap

ENTER = tuple(k / 100 for k in range(95, 25, -5))
# The first of each is about the figure of a bundle that is not calibrated: it stays where others do no better.
LEAVE_OF_ENTER = (0.6, 0.4, 0.8)
MIN_DURATION_S = (0.4, 0.2, 0.6, 1.0, 1.6)
MERGE_GAP_S = (1.0, 0.5, 2.0)
MOST_LOST = 0.1
"""Share of the true events that may be given up for a stricter setting."""
LIKELY = 0.65
"""Probabilities are calibrated: an alarm at less than about two thirds is false every third time, however few clips
without the class there were to show it."""


@dataclass(frozen=True, eq=False)
class Track:
    """The windows of one clip as one alarm class sees them."""

    probabilities: NDArray[np.float64]  # [W], NaN for a window that is not valid
    t_start_s: NDArray[np.float64]  # [W]
    t_end_s: NDArray[np.float64]  # [W]
    important_s: list[Interval]
    """When the class is shown."""
    ignored_s: list[Interval]
    """When an event is neither a find nor a false alarm."""

    @property
    def duration_s(self) -> float:
        return float(self.t_end_s[-1] - self.t_start_s[0])


@dataclass(frozen=True)
class Span:
    """One event, from the start of its first window; the detector itself reports that of its important frames."""

    t_start_s: float
    announced_s: float
    t_end_s: float

    @property
    def seconds(self) -> Interval:
        return self.t_start_s, self.t_end_s


@dataclass(frozen=True)
class Hysteresis:
    """What was chosen for one alarm class, and what it does on the clips it was chosen on."""

    spec: EventSpec
    events: int
    """True ones."""
    found: int
    delay_s: float | None
    """Mean time from the start of the activity to the announcement; None: none found."""
    false_alarms: int
    negative_minutes: float
    """Time in which an event is a false alarm."""
    rate_reached: bool

    @property
    def false_alarms_per_hour(self) -> float | None:
        """None where all that was seen is of the class."""
        return self.false_alarms * 60 / self.negative_minutes if self.negative_minutes else None

    @property
    def resolution_per_hour(self) -> float | None:
        """Rates below this cannot be told from 0 on so few minutes."""
        return 60 / self.negative_minutes if self.negative_minutes else None


def settings() -> Iterator[EventSpec]:
    """The grid that is searched."""
    for enter in ENTER:
        for share in LEAVE_OF_ENTER:
            for duration_s in MIN_DURATION_S:
                for gap_s in MERGE_GAP_S:
                    leave = round(enter * share, 4)
                    yield EventSpec(enter=enter, leave=leave, min_duration_s=duration_s, merge_gap_s=gap_s)


def choose(tracks: Sequence[Track], hop_s: float, false_alarms_per_hour: float) -> Hysteresis:
    """The strictest setting that finds nearly as many true events as any can at no more false alarms an hour than
    stated: the highest enter that loses at most `MOST_LOST` of them, of equals the one that finds most, then the one
    with the shorter delay. A few minutes without alarm say little about an hour; a strict setting is the safer bet, and
    one below `LIKELY` must find half of the events.

    Where none keeps the rate, the one with the fewest false alarms, and `rate_reached` is False.
    """
    tried = [_measure(tracks, hop_s, spec, false_alarms_per_hour) for spec in settings()]
    good = [row for row in tried if row.rate_reached and (row.spec.enter >= LIKELY or 2 * row.found >= row.events)]
    if not good:
        fewest = min(row.false_alarms for row in tried)
        good = [row for row in tried if row.false_alarms == fewest]
    most = max(row.found for row in good)
    return min((row for row in good if row.found >= (1 - MOST_LOST) * most), key=_order)


def simulate(track: Track, spec: EventSpec, hop_s: float) -> list[Span]:
    """Events as `stan_edge.pipeline.events.EventDetector` would raise them from these windows, without frames.

    The grid has 630 settings, and hours without an alarm are most of the data: here they cost nothing, while the
    detector takes 3 microseconds a window and class, which is minutes of search for each hour of recordings.
    """
    spans = []
    p, ends = track.probabilities, track.t_end_s
    above = np.flatnonzero(p >= spec.enter)  # NaN is not
    first = 0
    while (place := int(np.searchsorted(above, first))) < len(above):
        first = int(above[place])
        last_above_s = float(ends[first])
        announced_s: float | None = None
        k = first
        while True:
            lasted_s = last_above_s - ends[first] + hop_s
            if announced_s is None and lasted_s >= spec.min_duration_s - 1e-9:
                announced_s = float(ends[k])
            k += 1
            if k == len(p):
                break
            if p[k] >= spec.leave:
                last_above_s = float(ends[k])
            elif (announced_s is None and not np.isnan(p[k])) or ends[k] - last_above_s >= spec.merge_gap_s - 1e-9:
                break
        if announced_s is not None:
            spans.append(Span(float(track.t_start_s[first]), announced_s, last_above_s))
        first = k + 1
    return spans


def _measure(tracks: Sequence[Track], hop_s: float, spec: EventSpec, target_per_hour: float) -> Hysteresis:
    events = found = false_alarms = 0
    negative_s = 0.0
    delays_s: list[float] = []
    for track in tracks:
        spans = simulate(track, spec, hop_s)
        marked_s = track.important_s + track.ignored_s
        false_alarms += sum(not any(overlap(span.seconds, interval) for interval in marked_s) for span in spans)
        first_s = float(track.t_start_s[0])
        negative_s += outside_s(track.duration_s, [(start_s - first_s, end_s - first_s) for start_s, end_s in marked_s])
        for interval in track.important_s:
            events += 1
            hits = [span for span in spans if overlap(span.seconds, interval)]
            if hits:
                found += 1
                delays_s.append(max(hits[0].announced_s - interval[0], 0.0))
    minutes = negative_s / 60
    return Hysteresis(
        spec=spec,
        events=events,
        found=found,
        delay_s=sum(delays_s) / len(delays_s) if delays_s else None,
        false_alarms=false_alarms,
        negative_minutes=minutes,
        rate_reached=false_alarms * 60 <= target_per_hour * minutes,
    )


def _order(row: Hysteresis) -> tuple[float, int, float]:
    return -row.spec.enter, -row.found, round(row.delay_s or 0.0, 9)
