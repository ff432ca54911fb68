from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract, EventSpec
from stan_edge.pipeline.events import KEPT_FRAMES, EventDetector
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.records import Event, FrameScore, WindowResult

HOP_S = 0.2
THRESHOLD = 0.5
THRESHOLDS = {"falling": THRESHOLD, "headache": THRESHOLD}


@pytest.fixture(scope="module")
def contract(tiny_bundle: Bundle) -> Contract:
    events = EventSpec(enter=0.6, leave=0.4, min_duration_s=0.6, merge_gap_s=1.0)
    return tiny_bundle.contract.model_copy(
        update={"events": {"falling": events, "headache": events}, "alarms": ("falling", "headache")}
    )


def nothing_open(label: str) -> list[FrameScore]:
    """A timeline without frames that can still change."""
    return []


def events_of(
    contract: Contract, probabilities: Sequence[float | None], label: str = "falling", importance: float = 0.9
) -> list[Event]:
    """Windows every 0.2 s with these probabilities of one class (None: not valid), then the end of the stream."""
    detector, events = EventDetector("room", contract, THRESHOLDS, 0.2), []
    for number, probability in enumerate(probabilities):
        start_s = number * HOP_S
        result = WindowResult(
            camera="room",
            window=number,
            t_start_s=start_s,
            t_end_s=start_s + 2,
            valid=probability is not None,
            reason=None if probability is not None else "gap",
            label=None if probability is None else label,
            probability=probability,
            probabilities=None if probability is None else {label: probability, "compensation": 1 - probability},
            frames=(),
            person="none",
            latency_ms=0.0,
        )
        final = [TimelineFrame(start_s + k / 10, 2 * number + k, label, importance) for k in range(2)]
        events += detector.add(result, final, nothing_open)
    return events + detector.finish([])


def phases(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.event, event.phase) for event in events]


def test_an_event_starts_once_it_has_lasted_and_ends_once_it_is_over(contract: Contract) -> None:
    events = events_of(contract, [0.1] * 5 + [0.8] * 4 + [0.1] * 10)
    assert phases(events) == [(0, "start"), (0, "update"), (0, "end")]
    assert {event.label for event in events} == {"falling"}
    assert {event.camera for event in events} == {"room"}


def test_nothing_below_the_enter_threshold_starts_an_event(contract: Contract) -> None:
    assert events_of(contract, [0.59] * 50) == []


def test_between_leave_and_enter_an_event_goes_on(contract: Contract) -> None:
    events = events_of(contract, [0.7] + [0.45] * 20 + [0.1] * 10)
    assert [phase for _, phase in phases(events)] == ["start", *["update"] * 4, "end"]
    assert events[-1].t_end_s >= 21 * HOP_S


def test_a_rise_shorter_than_the_minimum_is_no_event(contract: Contract) -> None:
    assert events_of(contract, [0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.1]) == []
    assert phases(events_of(contract, [0.1, 0.9, 0.9, 0.9, 0.1, 0.1])) == [(0, "start"), (0, "end")]


def test_a_dip_shorter_than_the_merge_gap_does_not_split_an_event(contract: Contract) -> None:
    joined = events_of(contract, [0.9] * 5 + [0.1] * 4 + [0.9] * 5)
    assert {event.event for event in joined} == {0}
    split = events_of(contract, [0.9] * 5 + [0.1] * 5 + [0.9] * 5)
    assert {event.event for event in split} == {0, 1}


def test_updates_come_once_a_second_while_it_lasts(contract: Contract) -> None:
    events = events_of(contract, [0.9] * 31)
    assert [phase for _, phase in phases(events)] == ["start"] + ["update"] * 5 + ["end"]


def test_the_end_of_the_stream_ends_the_event(contract: Contract) -> None:
    assert phases(events_of(contract, [0.9] * 4)) == [(0, "start"), (0, "end")]


def test_an_event_that_was_never_announced_does_not_end(contract: Contract) -> None:
    assert events_of(contract, [0.9]) == []


def test_windows_that_are_not_valid_never_start_an_event(contract: Contract) -> None:
    assert events_of(contract, [None] * 50) == []


def test_background_and_classes_that_are_no_alarm_raise_nothing(contract: Contract) -> None:
    for label in ("background", "chest_pain"):
        assert events_of(contract, [1.0] * 20, label) == []


def test_two_alarms_at_once_are_two_events(contract: Contract) -> None:
    detector = EventDetector("room", contract, THRESHOLDS, 0.2)
    events = []
    for number in range(6):
        result = WindowResult(
            "room", number, number * HOP_S, number * HOP_S + 2, True, None, "falling", 0.7,
            {"falling": 0.7, "headache": 0.65}, (), "none", 0.0,
        )  # fmt: skip
        events += detector.add(result, [], nothing_open)
    events += detector.finish([])
    assert sorted((event.event, event.label, event.phase) for event in events) == [
        (0, "falling", "end"),
        (0, "falling", "start"),
        (1, "headache", "end"),
        (1, "headache", "start"),
    ]


@given(st.lists(st.none() | st.sampled_from([0.1, 0.3, 0.45, 0.55, 0.7, 0.95]), max_size=80))
def test_every_event_has_one_start_then_updates_then_one_end_and_its_own_number(
    contract: Contract, probabilities: list[float | None]
) -> None:
    events = events_of(contract, probabilities)
    numbers = sorted({event.event for event in events})
    assert numbers == list(range(len(numbers)))
    starts = [event.event for event in events if event.phase == "start"]
    assert starts == numbers
    for number in numbers:
        story = [event for event in events if event.event == number]
        assert [event.phase for event in story] == ["start"] + ["update"] * (len(story) - 2) + ["end"]
        assert all(event.t_start_s <= event.t_end_s for event in story)
        assert all(0.6 <= event.peak_probability <= 1 for event in story)
        peaks = [event.peak_probability for event in story]
        assert peaks == sorted(peaks)


def test_the_peak_is_the_highest_probability_so_far(contract: Contract) -> None:
    assert events_of(contract, [0.7, 0.92, 0.8, 0.7])[-1].peak_probability == 0.92


def test_an_event_carries_at_most_20_important_frames_in_order_of_time(contract: Contract) -> None:
    for event in events_of(contract, [0.9] * 60):
        times = [frame.t_s for frame in event.important_frames]
        assert len(times) <= KEPT_FRAMES == 20
        assert times == sorted(set(times))
        assert all(frame.important and frame.score >= THRESHOLD for frame in event.important_frames)


def test_frames_below_the_threshold_are_not_important(contract: Contract) -> None:
    events = events_of(contract, [0.9] * 10, importance=0.49)
    assert events
    assert all(event.important_frames == () for event in events)


def test_an_event_spans_its_important_frames(contract: Contract) -> None:
    end = events_of(contract, [0.9] * 10)[-1]
    assert (end.t_start_s, end.t_end_s) == (0.0, pytest.approx(9 * HOP_S + 0.1))


def test_a_frame_can_be_important_for_an_event_before_it_is_final(contract: Contract) -> None:
    detector = EventDetector("room", contract, THRESHOLDS, 0.2)
    asked = []

    def provisional(label: str) -> list[FrameScore]:
        asked.append(label)
        return [FrameScore(1.4, 14, 0.7, False), FrameScore(1.5, 15, 0.8, False), FrameScore(1.6, 16, 0.2, False)]

    for number in range(3):
        result = WindowResult(
            "room", number, number * HOP_S, number * HOP_S + 2, True, None, "falling", 0.9, {"falling": 0.9}, (),
            "none", 0.0,
        )  # fmt: skip
        events = detector.add(result, [], provisional)
    assert [frame.index for frame in events[0].important_frames] == [14, 15]
    assert set(asked) == {"falling"}  # nobody else is watched
    # in the end one of them shows something else
    (end,) = detector.finish([TimelineFrame(1.4, 14, "falling", 0.7), TimelineFrame(1.5, 15, "headache", 0.9)])
    assert [frame.index for frame in end.important_frames] == [14]


def test_windows_without_a_verdict_neither_confirm_nor_contradict(contract: Contract) -> None:
    assert phases(events_of(contract, [0.9, None] * 5 + [0.1] * 6))[0] == (0, "start")
    assert events_of(contract, [0.9, *[None] * 6, 0.1]) == []


def test_a_large_hop_asks_for_no_more_than_a_small_one(contract: Contract) -> None:
    detector = EventDetector("room", contract, THRESHOLDS, 2.0)
    seen = WindowResult("room", 0, 0.0, 2.0, True, None, "falling", 0.9, {"falling": 0.9}, (), "none", 0.0)
    assert [event.phase for event in detector.add(seen, [], nothing_open)] == ["start"]


def test_each_class_has_its_own_figures(contract: Contract) -> None:
    slow = EventSpec(enter=0.9, leave=0.4, min_duration_s=2.0, merge_gap_s=1.0)
    other = contract.model_copy(update={"events": contract.events | {"headache": slow}})
    assert phases(events_of(other, [0.8] * 5, "falling"))[0] == (0, "start")
    assert events_of(other, [0.8] * 30, "headache") == []
    assert events_of(other, [0.95] * 9, "headache") == []
    assert phases(events_of(other, [0.95] * 10, "headache"))[0] == (0, "start")


def test_each_class_has_its_own_threshold(contract: Contract) -> None:
    for label, flagged in (("falling", True), ("headache", False)):
        detector = EventDetector("room", contract, {"falling": 0.3, "headache": 0.8}, 0.2)
        for number in range(3):
            result = WindowResult(
                "room",
                number,
                number * HOP_S,
                number * HOP_S + 2,
                True,
                None,
                label,
                0.9,
                {label: 0.9},
                (),
                "none",
                0.0,
            )
            events = detector.add(result, [], lambda _: [FrameScore(1.5, 15, 0.6, False)])
        assert bool(events[0].important_frames) == flagged


def test_frames_that_nobody_explained_are_not_important_even_at_a_threshold_of_0(contract: Contract) -> None:
    detector = EventDetector("room", contract, {"falling": 0.0, "headache": 0.0}, 2.0)
    seen = WindowResult("room", 0, 0.0, 2.0, True, None, "falling", 0.9, {"falling": 0.9}, (), "none", 0.0)
    final = [
        TimelineFrame(0.0, 0, None, None),  # in no valid window
        TimelineFrame(0.1, 1, None, 0.0),  # background
        TimelineFrame(0.2, 2, "headache", 0.9),
        TimelineFrame(0.3, 3, "falling", 0.0),
    ]
    open_frames = [FrameScore(0.4, 4, None, False), FrameScore(0.5, 5, 0.0, False)]
    (start,) = detector.add(seen, final, lambda _: open_frames)
    assert [frame.index for frame in start.important_frames] == [3, 5]
