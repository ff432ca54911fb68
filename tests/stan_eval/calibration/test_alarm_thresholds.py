from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import EventSpec
from stan_edge.pipeline.events import EventDetector
from stan_edge.records import WindowResult
from stan_eval.calibration.alarm_thresholds import Span, Track, choose, settings, simulate

HOP_S = 0.2
LEVELS = [None, 0.05, 0.2, 0.25, 0.3, 0.45, 0.5, 0.6, 0.75, 0.95, 1.0]


def track(
    probabilities: list[float | None],
    important_s: list[tuple[float, float]] | None = None,
    ignored_s: list[tuple[float, float]] | None = None,
) -> Track:
    start_s = np.arange(len(probabilities)) * HOP_S
    values = np.array([np.nan if p is None else p for p in probabilities], np.float64)
    return Track(values, start_s, start_s + 2, important_s or [], ignored_s or [])


def detected(bundle: Bundle, shown: Track, spec: EventSpec, hop_s: float) -> list[Span]:
    contract = bundle.contract.model_copy(update={"alarms": ("falling",), "events": {"falling": spec}})
    detector, events = EventDetector("room", contract, {"falling": 0.5}, hop_s), []
    for number, p in enumerate(shown.probabilities):
        known = not np.isnan(p)
        result = WindowResult(
            "room", number, float(shown.t_start_s[number]), float(shown.t_end_s[number]), known,
            None if known else "gap", "falling" if known else None, float(p) if known else None,
            {"falling": float(p)} if known else None, (), "none", 0.0,
        )  # fmt: skip
        events += [(event, result.t_end_s) for event in detector.add(result, [], lambda _: [])]
    events += [(event, 0.0) for event in detector.finish([])]
    starts = {event.event: now_s for event, now_s in events if event.phase == "start"}
    return [Span(event.t_start_s, starts[event.event], event.t_end_s) for event, _ in events if event.phase == "end"]


@given(
    st.lists(st.sampled_from(LEVELS), min_size=1, max_size=60),
    st.sampled_from(list(settings())),
    st.sampled_from([0.1, HOP_S, 0.6]),
)
def test_the_fast_replay_is_the_event_detector(
    tiny_bundle: Bundle, probabilities: list[float | None], spec: EventSpec, hop_s: float
) -> None:
    shown = track(probabilities)
    assert simulate(shown, spec, hop_s) == detected(tiny_bundle, shown, spec, hop_s)


def test_every_setting_of_the_grid_agrees_with_the_detector_on_a_long_random_walk(tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    walk = np.abs((np.cumsum(rng.normal(0, 0.15, 400)) + 1) % 2 - 1)
    shown = track([None if rng.random() < 0.05 else float(p) for p in walk])
    for spec in list(settings())[::23]:
        assert simulate(shown, spec, HOP_S) == detected(tiny_bundle, shown, spec, HOP_S)


def falls(height: float, count: int = 3) -> list[Track]:
    """Clips of 10 s in which the class shows from 4 to 6 s."""
    return [track([0.05] * 15 + [height] * 10 + [0.05] * 15, [(4.0, 6.0)]) for _ in range(count)]


def quiet(minutes: float, blips: int = 0, height: float = 0.0, length: int = 1) -> Track:
    """A clip without the class, with rises spread over it."""
    values: list[float | None] = [0.02] * round(minutes * 60 / HOP_S)
    for k in range(blips):
        at = 20 + k * (len(values) // max(blips, 1))
        values[at : at + length] = [height] * length
    return track(values)


def test_the_setting_tells_the_falls_from_the_rises_that_are_none() -> None:
    found = choose([*falls(0.9), quiet(30, blips=20, height=0.72, length=20)], HOP_S, 1.0)
    assert (found.found, found.events, found.false_alarms, found.rate_reached) == (3, 3, 0, True)
    assert 0.72 < found.spec.enter <= 0.9


def test_short_rises_as_high_as_the_falls_are_kept_out_by_the_duration() -> None:
    found = choose([*falls(0.9), quiet(30, blips=20, height=0.9, length=2)], HOP_S, 1.0)
    assert (found.found, found.false_alarms) == (3, 0)
    assert found.spec.min_duration_s == 0.6


def test_a_low_setting_that_finds_few_is_no_alarm_even_where_nothing_false_was_seen() -> None:
    few = choose([*falls(0.9, 1), *falls(0.55, 2), *falls(0.2, 9), quiet(30)], HOP_S, 1.0)
    assert few.spec.enter >= 0.65
    assert (few.found, few.false_alarms) == (1, 0)
    half = choose([*falls(0.55, 2), *falls(0.2, 2), quiet(30)], HOP_S, 1.0)
    assert half.spec.enter <= 0.55
    assert (half.found, half.false_alarms) == (2, 0)


def test_of_equals_the_highest_enter_and_then_the_shorter_delay_is_taken() -> None:
    found = choose([*falls(0.9), quiet(60)], HOP_S, 1.0)
    assert found.spec.min_duration_s == HOP_S
    assert found.spec.enter == 0.9
    # the first window of the rise ends at 5.0 s
    assert found.delay_s == pytest.approx(1.0)


def test_the_stated_rate_is_used_up_only_where_that_finds_more() -> None:
    clips = [*falls(0.9, 2), *falls(0.5, 1), quiet(30, blips=1, height=0.55, length=20)]
    strict, generous = choose(clips, HOP_S, 1.0), choose(clips, HOP_S, 2.0)
    assert (strict.found, strict.false_alarms) == (2, 0)
    assert (generous.found, generous.false_alarms) == (3, 1)
    # half an hour, and three clips of 9.8 s but for 3.5 to 6.5 s
    assert generous.false_alarms_per_hour == pytest.approx(3600 / (quiet(30).duration_s + 3 * 6.8))


def test_where_no_setting_keeps_the_rate_the_one_with_the_fewest_false_alarms_is_taken_and_says_so() -> None:
    found = choose([*falls(0.9), quiet(2, blips=3, height=1.0, length=30)], HOP_S, 1.0)
    assert not found.rate_reached
    assert found.false_alarms == 3
    assert found.resolution_per_hour == pytest.approx(60 / found.negative_minutes)


def test_an_alarm_beside_what_is_shown_is_no_find() -> None:
    beside = track([0.9] * 10 + [0.02] * 60, [(12.0, 13.0)])
    found = choose([beside, quiet(30)], HOP_S, 0.1)
    assert (found.found, found.events, found.delay_s) == (0, 1, None)
    assert found.false_alarms == 0
    assert found.spec.enter > 0.9  # lower, it would be a false alarm, as in a clip without the class


def test_an_alarm_while_nobody_counts_is_neither() -> None:
    lying = track([0.9] * 10 + [0.02] * 60, [(12.0, 13.0)], [(0.0, 4.0)])
    found = choose([lying, track([0.9] * 10 + [0.02] * 60, [(0.0, 2.0)]), quiet(30)], HOP_S, 0.1)
    assert (found.found, found.events, found.false_alarms) == (1, 2, 0)
    assert found.spec.enter <= 0.9
    # two clips of 15.8 s, one without 11.5 to 13.5 s and 0 to 4.5 s, one without 0 to 2.5 s
    watched_s = 15.8 - 6.5 + 15.8 - 2.5
    assert found.negative_minutes * 60 == pytest.approx(watched_s + quiet(30).duration_s)


def test_where_all_is_of_the_class_no_rate_is_known() -> None:
    found = choose([track([0.9] * 10, [(0.0, 4.0)])], HOP_S, 1.0)
    assert found.false_alarms_per_hour is None
    assert found.resolution_per_hour is None
