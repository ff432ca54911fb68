from __future__ import annotations

from dataclasses import replace

import pytest

from stan_eval.event_scores import Alarm, ClipEvents, event_figures
from stan_eval.intervals import Unit

FALL = ClipEvents(
    unit=Unit(0, "a"),
    label="falling",
    duration_s=900.0,
    important_s=((10.0, 12.0),),
    ignored_s=((12.0, 30.0),),
    marked=True,
    alarms=(),
)
ALARMS = ("falling", "headache")


def alarm(label: str, start_s: float, end_s: float, announced_s: float) -> Alarm:
    return Alarm(label, start_s, end_s, announced_s, 0.9)


def test_found_events_their_delay_and_false_alarms_are_counted() -> None:
    clips = [
        replace(FALL, alarms=(alarm("falling", 12.4, 14.0, 13.5), alarm("falling", 9.0, 11.0, 11.25))),
        replace(FALL, alarms=(alarm("falling", 20.0, 21.0, 21.0),)),  # while ignored: neither found nor false
        replace(FALL, alarms=(alarm("headache", 10.0, 12.0, 12.0), alarm("falling", 50.0, 51.0, 51.0))),
        replace(FALL, label="background", important_s=(), ignored_s=()),
    ]
    report = event_figures(clips, ALARMS)
    falling = report.by_alarm["falling"]
    assert (falling.events, falling.found, falling.false_alarms) == (3, 1, 1)
    # four quarters of an hour, without 9.5 to 30.5 s of the three falls: no alarm there would be false
    assert falling.hours * 3600 == pytest.approx(3600 - 3 * 21)
    assert falling.delay_median is not None and falling.delay_p90 is not None
    assert falling.delay_median.value == falling.delay_p90.value == pytest.approx(1.25)  # the first announcement
    headache = report.by_alarm["headache"]
    assert (headache.events, headache.false_alarms, headache.recall, headache.delay_median) == (0, 1, None, None)
    assert headache.hours == report.overall.hours == 1.0
    assert (report.overall.found, report.overall.false_alarms) == (1, 2)
    assert report.overall.false_alarms_per_hour is not None
    assert report.overall.false_alarms_per_hour.value == 2.0


def test_half_a_second_of_slack_is_given_at_both_ends() -> None:
    for start_s, end_s, found in ((8.0, 9.4, False), (8.0, 9.5, True), (12.5, 13.0, True)):
        assert (
            replace(FALL, alarms=(alarm("falling", start_s, end_s, 14.0),)).found((10.0, 12.0)) is not None
        ) == found
    late = replace(FALL, ignored_s=(), alarms=(alarm("falling", 12.6, 13.0, 14.0),))
    assert late.found((10.0, 12.0)) is None
    assert late.is_false(late.alarms[0])


def test_an_announcement_before_the_marked_beginning_has_no_delay() -> None:
    report = event_figures([replace(FALL, alarms=(alarm("falling", 9.0, 10.0, 9.8),))], ALARMS)
    assert report.overall.delay_median is not None
    assert report.overall.delay_median.value == 0.0


def test_the_median_and_the_tail_of_delays() -> None:
    clips = [
        replace(FALL, unit=Unit(0, str(k)), alarms=(alarm("falling", 10.0, 12.0, 10.0 + k / 10),)) for k in range(11)
    ]
    found = event_figures(clips, ALARMS).by_alarm["falling"]
    assert found.delay_median is not None and found.delay_p90 is not None
    assert found.delay_median.value == pytest.approx(0.5)
    assert found.delay_p90.value == pytest.approx(0.9)
    assert found.delay_median.low is not None and found.delay_median.low < 0.5


def test_nothing_is_late_in_a_clip_that_nobody_marked() -> None:
    """Its interval is the whole clip: a delay would be the time since the file began."""
    weak = replace(
        FALL, important_s=((0.0, 900.0),), ignored_s=(), marked=False, alarms=(alarm("falling", 600.0, 601.0, 600.5),)
    )
    found = event_figures([weak], ALARMS).by_alarm["falling"]
    assert (found.found, found.events, found.delay_median) == (1, 1, None)
    assert found.hours == 0.0
