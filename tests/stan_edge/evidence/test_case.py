"""What belongs to an event, and that memory stays bounded."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.evidence.case import LONGEST_S, Case, CaseCollector, ExplainedWindow
from stan_edge.evidence.ring import CompressedFrame, FrameRing
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract
from stan_edge.records import Event, Phase, to_line
from stan_edge.types import Square
from tests.stan_edge.sinks.conftest import START, a_window, an_event

AROUND_S = 5.0


def shot(index: int, size: int = 10) -> CompressedFrame:
    return CompressedFrame(index, index / 10, bytes(size), 1.0)


def event(phase: Phase, t_start_s: float, t_end_s: float, number: int = 0) -> Event:
    return replace(an_event(number, phase), t_start_s=t_start_s, t_end_s=t_end_s)


@pytest.fixture
def contract(tiny_bundle: Bundle) -> Contract:
    return tiny_bundle.contract


def play(collector: CaseCollector, until_s: float, *events: tuple[float, Event], since_s: float = 0.0) -> list[Case]:
    """Ten frames and five windows a second, and events when they are announced."""
    cases, waiting = [], list(events)
    collector.start_line = to_line(START)
    for index in range(round(since_s * 10), round(until_s * 10)):
        cases += collector.frame(shot(index))
        if index % 2 == 0:
            collector.window(window := a_window(index // 2), None)
            collector.explained(ExplainedWindow(window, np.zeros((20, 3, 3), np.float32), Square(0, 0, 120)))
        while waiting and waiting[0][0] <= index / 10:
            collector.event(waiting.pop(0)[1], None, None)
    return cases


def test_an_event_gets_the_time_around_it_and_its_records(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S)
    happened = [(13.0, event("start", 11.0, 12.5)), (14.0, event("update", 11.0, 13.5)), (16.0, event("end", 11, 14.0))]
    (case,) = play(collector, 30.0, *happened)
    assert case.cut is None
    assert [one.index for one in case.shots] == list(range(60, 191))
    assert case.event.phase == "end"
    lines = [json.loads(line) for line in case.lines]
    assert [line["phase"] for line in lines if line["type"] == "event"] == ["start", "update", "end"]
    windows = [line for line in lines if line["type"] == "window"]
    assert windows[0]["t_end_s"] > 6.0 >= windows[0]["t_end_s"] - 0.2
    assert windows[-1]["t_start_s"] < 19.0
    assert [window.result.window for window in case.explained] == [line["window"] for line in windows]
    kinds = [line.get("phase") for line in lines]
    assert 0 < kinds.index("start") < kinds.index("end") < len(kinds) - 1  # among the windows, as they came


def test_an_event_at_the_start_begins_with_the_stream_and_one_at_the_end_ends_with_it(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S)
    assert play(collector, 5.0, (2.5, event("start", 0.5, 2.0)), (4.0, event("end", 0.5, 3.0))) == []
    (case,) = collector.finish()
    assert (case.cut, [one.index for one in case.shots]) == ("stream", list(range(50)))
    assert collector.finish() == []


def test_of_an_event_without_end_the_first_minute_is_there_after_a_minute(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S)
    updates = [(10.0 + k, event("update", 8.0, 9.0 + k)) for k in range(100)]
    (case,) = play(collector, 120.0, (9.0, event("start", 8.0, 9.0)), *updates)
    assert case.cut == "long"
    assert (case.shots[0].t_s, case.shots[-1].t_s) == (3.0, 8.0 + LONGEST_S + AROUND_S)
    assert case.event.phase == "update"
    assert collector.finish() == []


def test_two_events_at_once_share_their_frames(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S)
    happened = [(10.0, event("start", 9.0, 9.5, 0)), (11.0, event("start", 10.0, 10.5, 1))]
    happened += [(12.0, event("end", 9.0, 10.0, 0)), (13.0, event("end", 10.0, 12.0, 1))]
    one, other = play(collector, 20.0, *happened)
    assert (one.event.event, other.event.event) == (0, 1)
    assert set(other.shots) & set(one.shots)


def test_a_camera_that_falls_silent_does_not_keep_an_ended_event_waiting(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S)
    happened = [(9.0, event("start", 8.0, 8.5, 0)), (9.1, event("end", 8.0, 8.8, 0)), (9.2, event("start", 9, 9.1, 1))]
    play(collector, 10.0, *happened)
    (case,) = collector.silent()
    assert (case.event.event, case.cut) == (0, "stream")


def test_when_memory_is_full_the_oldest_event_is_written_as_it_is(contract: Contract) -> None:
    collector = CaseCollector(contract, AROUND_S, most_bytes=1000)  # ten seconds
    (case,) = play(collector, 30.0, (6.0, event("start", 5.5, 6.0)), (25.0, event("end", 5.5, 24.0)))
    assert case.cut == "memory"
    assert 0.5 <= case.shots[0].t_s <= 5.5
    assert case.shots[-1].t_s < 12.0


@given(st.lists(st.integers(1, 400), min_size=1, max_size=200), st.integers(1, 1000), st.floats(0, 20))
def test_the_ring_never_holds_more_than_its_bytes(shot_bytes: list[int], most_bytes: int, back_s: float) -> None:
    ring = FrameRing(most_bytes)
    for index, size in enumerate(shot_bytes):
        ring.add(shot(index, size), index / 10 - back_s)
        kept = ring.between(0, 1e9)
        assert ring.used_bytes == sum(len(one.jpeg) for one in kept)
        assert ring.used_bytes <= most_bytes or len(kept) == 1
        assert kept[-1].index == index
        assert all(one.t_s >= index / 10 - back_s for one in kept[:-1])


def test_names_are_safe_and_say_camera_time_class_and_id(contract: Contract) -> None:
    happened = replace(event("end", 12.5, 14.0), camera="rtsp://host/door 1/../é", label="chest_pain", id="ab12-3")
    at = datetime(2025, 3, 1, 14, 30, 22, tzinfo=timezone(timedelta(hours=1)))
    live = Case(happened, at, None, (), (), ())
    recorded = replace(live, at=None)
    assert live.name.endswith("-20250301T143022+0100-chest_pain-ab12-3")
    assert recorded.name.endswith("-00012.500s-chest_pain-ab12-3")
    assert live.name.startswith("rtsp_host_door_1")
    assert not set(live.name) & set("/\\: .")
    long = replace(happened, camera="x" * 500, label="y" * 500, id=f"{'f' * 32}-12345")
    assert len(replace(live, event=long).name) < 240
