from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.windows import MAX_SHIFT_S, Sampler, Window, Windower
from stan_edge.sources import Black, Damage, Frame, Freeze, Gap, ScriptedSource, Segment, Show

SPEC = InputSpec(
    frames=20, window_s=2.0, size_px=64, view="global", framing="letterbox", region="box", mean=0.45, std=0.225
)
TICK_S = 0.1
rng = np.random.default_rng(0)
NOISE = [rng.integers(60, 200, (16, 16, 3), np.uint8) for _ in range(64)]
RATES = [60.0, 30.0, 25.0, 15.0, 10.0, 7.5]


def frames_at(times_s: list[float]) -> list[Frame]:
    return [Frame(index, t_s, NOISE[index % 64]) for index, t_s in enumerate(times_s)]


def windows_of(frames: list[Frame], hop_s: float = 0.2, *, live: bool = False) -> list[Window]:
    windower = Windower(SPEC, hop_s, live=live)
    found = [window for frame in frames for window in windower.feed(frame, NOBODY)]
    return found + windower.finish()


def played(*steps: object, live: bool, hop_s: float = 0.2) -> list[Window]:
    source, frames = ScriptedSource(list(steps), live=live), []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return windows_of(frames, hop_s, live=live)


@st.composite
def jittered_times(draw: st.DrawFn) -> list[float]:
    """A stream of 8 to 60 frames a second whose frames come up to 40 % of a period early or late."""
    period_s = 1 / draw(st.floats(8, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    count = int(draw(st.floats(0.05, 4.0)) / period_s) + 1
    times = (np.arange(count) + np.random.default_rng(seed).uniform(-0.4, 0.4, count)) * period_s
    return (times - times[0]).tolist()


@given(jittered_times())
def test_each_tick_gets_the_frame_closest_to_it(times_s: list[float]) -> None:
    frames, sampler = frames_at(times_s), Sampler(TICK_S)
    samples = [sample for frame in frames for sample in sampler.feed(frame, NOBODY)] + sampler.finish()
    assert [sample.tick for sample in samples] == list(range(len(samples)))
    assert len(samples) >= int(times_s[-1] / TICK_S + 1e-9) + 1
    for sample in samples:
        distances = [abs(t_s - sample.tick * TICK_S) for t_s in times_s]
        assert abs(sample.frame.t_capture_s - sample.tick * TICK_S) <= min(distances) + 1e-5
        assert sample.shift_s == pytest.approx(min(distances), abs=1e-5)


@given(jittered_times(), st.integers(1, 20))
def test_windows_have_20_samples_a_tick_apart_and_start_at_multiples_of_the_hop(times_s: list[float], hop: int) -> None:
    windows = windows_of(frames_at(times_s), hop * TICK_S)
    assert [window.number for window in windows] == list(range(len(windows)))
    for number, window in enumerate(windows):
        assert len(window.samples) == 20
        assert [sample.tick for sample in window.samples] == list(range(number * hop, number * hop + 20))
        assert window.t_start_s == pytest.approx(number * hop * TICK_S)
        assert window.t_end_s - window.t_start_s == pytest.approx(SPEC.window_s)
        indices = [sample.frame.index for sample in window.samples]
        assert indices == sorted(indices)


@given(jittered_times())
def test_a_window_is_there_as_soon_as_its_last_tick_has_passed(times_s: list[float]) -> None:
    windower, done = Windower(SPEC, 0.2, live=False), 0
    for frame in frames_at(times_s):
        done += len(windower.feed(frame, NOBODY))
        last_ticks = [start + 19 for start in range(0, 200, 2)]
        assert done == sum(tick * TICK_S <= frame.t_capture_s + 1e-6 for tick in last_ticks)


@pytest.mark.parametrize("fps", RATES)
def test_any_usual_frame_rate_gives_the_same_windows(fps: float) -> None:
    windows = windows_of(frames_at([k / fps for k in range(round(6 * fps) + 1)]))
    assert [round(window.t_start_s, 6) for window in windows] == [round(0.2 * k, 6) for k in range(len(windows))]
    assert len(windows) == 21
    assert all(window.reason is None for window in windows)
    assert max(sample.shift_s for window in windows for sample in window.samples) <= 0.5 / fps + 1e-9


def test_a_camera_of_3_frames_a_second_is_too_slow() -> None:
    windows = windows_of(frames_at([k / 3 for k in range(19)]))
    assert windows
    assert {window.reason for window in windows} == {"gap"}


@given(jittered_times(), st.floats(0.5, 3.0), st.floats(0.4, 1.5))
def test_a_gap_spoils_exactly_the_windows_that_overlap_it(times_s: list[float], from_s: float, long_s: float) -> None:
    kept = [t_s for t_s in times_s if not from_s < t_s < from_s + long_s]
    for window in windows_of(frames_at(kept)):
        ticks = [sample.tick * TICK_S for sample in window.samples]
        if window.number == 0 and kept[-1] < 1.85:
            continue
        farthest = max(min(abs(t_s - tick_s) for t_s in kept) for tick_s in ticks)
        if abs(farthest - MAX_SHIFT_S) > 1e-5:
            assert window.reason == ("gap" if farthest > MAX_SHIFT_S else None)


def test_a_gap_does_not_spoil_what_comes_before_and_after() -> None:
    windows = played(Show(NOISE, 10, 5.0), Gap(1.0), Show(NOISE, 10, 5.0), live=True)
    wrong = [window for window in windows if window.reason]
    assert {window.reason for window in wrong} == {"gap"}
    assert all(window.t_start_s < 5.9 and window.t_end_s > 5.0 for window in wrong)
    right = [window for window in windows if not window.reason]
    assert all(window.t_end_s <= 5.3 or window.t_start_s >= 5.7 for window in right)
    assert len(right) >= 24


@pytest.mark.parametrize("step", [Freeze(2.0, 10), Black(2.0, 10)], ids=["frozen", "black"])
def test_only_a_camera_can_hang_or_be_covered(step: object) -> None:
    script = (Show(NOISE, 10, 4.0), step, Show(NOISE, 10, 4.0))
    reason = type(step).__name__.lower().replace("freeze", "frozen")
    live = played(*script, live=True)
    assert {window.reason for window in live} == {None, reason}
    for window in live:
        if window.t_end_s <= 4.0 or window.t_start_s >= 6.0:
            assert window.reason is None
        if window.t_start_s <= 4.0 and window.t_end_s >= 6.0:
            assert window.reason == reason
    assert {window.reason for window in played(*script, live=False)} == {None}


def test_a_camera_that_hangs_for_half_a_second_is_forgiven() -> None:
    windows = played(Show(NOISE, 10, 3.0), Freeze(0.5, 10), Show(NOISE, 10, 3.0), live=True)
    assert {window.reason for window in windows} == {None}


def test_one_black_picture_spoils_the_windows_that_hold_it_and_no_other() -> None:
    for window in played(Show(NOISE, 10, 3.0), Black(0.1, 10), Show(NOISE, 10, 3.0), live=True):
        holds = any(sample.tick == 30 for sample in window.samples)
        assert window.reason == ("black" if holds else None)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.7])
def test_a_short_recording_gives_one_window_that_repeats_its_last_frame(seconds: float) -> None:
    (window,) = windows_of(frames_at([k / 10 for k in range(round(seconds * 10))]))
    indices = [sample.frame.index for sample in window.samples]
    assert len(indices) == 20
    assert indices == [min(k, round(seconds * 10) - 1) for k in range(20)]
    assert window.reason is None


def test_an_empty_stream_gives_no_window() -> None:
    assert windows_of([]) == []


@pytest.mark.parametrize("hop_s", [0.0, -0.1, 0.05, 0.15, 2.1, 100.0])
def test_a_hop_that_does_not_fit_is_refused_by_its_field(hop_s: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{hop_s:g} s must be")) as refused:
        SPEC.hop_ticks(hop_s)
    assert refused.value.field == "model.hop_s"


@pytest.mark.parametrize("ticks", [1, 2, 7, 20])
def test_every_multiple_of_the_tick_up_to_the_window_is_a_hop(ticks: int) -> None:
    assert SPEC.hop_ticks(ticks * SPEC.tick_s) == ticks


@given(
    st.lists(st.tuples(st.floats(0.3, 6.0), st.floats(0.0, 40.0)), min_size=2, max_size=5),
    st.integers(1, 20),
    st.booleans(),
)
def test_no_window_spans_a_break_and_each_break_costs_at_most_one(
    parts: list[tuple[float, float]], hop: int, live: bool
) -> None:
    """Parts of a stream, each a new segment that begins a while after the last one."""
    windower, found, start_s, index = Windower(SPEC, hop * TICK_S, live=live), [], 0.0, 0
    for number, (long_s, pause_s) in enumerate(parts):
        segment = Segment(number, "reconnect" if number else "start")
        for k in range(round(long_s * 25)):
            frame = Frame(index, start_s + k / 25, NOISE[index % 64], segment=segment)
            found += windower.feed(frame, NOBODY)
            index += 1
        start_s += round(long_s * 25) / 25 + pause_s
    found += windower.finish()
    assert [window.number for window in found] == list(range(len(found)))
    assert all(one.t_start_s < other.t_start_s for one, other in itertools.pairwise(found))
    assert {window.reason for window in found} <= {None, "reconnect"}
    assert sum(window.breaks for window in found) <= len(parts) - 1
    for window in found:
        assert window.breaks == (window.reason == "reconnect")
        assert window.t_start_s / (hop * TICK_S) == pytest.approx(round(window.t_start_s / (hop * TICK_S)), abs=1e-6)
        assert len({sample.frame.segment.number for sample in window.samples}) <= 1
        ticks = [sample.tick for sample in window.samples]
        assert ticks == list(range(round(window.t_start_s / TICK_S), round(window.t_start_s / TICK_S) + len(ticks)))
        assert len(ticks) == 20 if window.reason is None else len(ticks) < 20


def test_an_hour_without_frames_costs_one_window() -> None:
    windows = played(Show(NOISE, 10, 5.0), Gap(3600.0), Show(NOISE, 10, 5.0), live=False)
    assert [window.reason for window in windows if window.reason] == ["gap"]
    assert len(windows) < 40
    right = [window for window in windows if window.t_start_s >= 3605.0]
    assert right[0].t_start_s < 3605.3
    assert all(window.reason is None for window in right)


def test_a_damaged_frame_spoils_the_windows_that_need_it_and_no_other() -> None:
    for window in played(Show(NOISE, 10, 3.0), Damage(0.1, 10), Show(NOISE, 10, 3.0), live=True):
        holds = any(sample.tick == 30 for sample in window.samples)
        assert window.reason == ("damaged" if holds else None)
    # of three frames a tick, the damaged one is not needed
    between = [Frame(k, k / 30, NOISE[k % 64], damaged=k % 3 == 1) for k in range(150)]
    assert {window.reason for window in windows_of(between, live=True)} == {None}


@pytest.mark.parametrize(("rate_hz", "reason"), [(5.0, None), (4.0, None), (2.5, "frozen"), (1.5, "frozen")])
def test_copies_between_the_pictures_of_a_slow_camera_are_no_pictures(rate_hz: float, reason: str | None) -> None:
    # a camera that delivers 25 frames a second and takes a new picture far less often
    frames = [Frame(k, k / 25, NOISE[int(k / 25 * rate_hz + 1e-9) % 64]) for k in range(150)]
    assert {window.reason for window in windows_of(frames, live=True)} == {reason}
    assert {window.reason for window in windows_of(frames, live=False)} == {None}
