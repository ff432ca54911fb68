from __future__ import annotations

import time

import numpy as np
import pytest

from stan_bench import camera as camera_module
from stan_bench.camera import WARM_UP_WINDOWS, FileCamera, StageTimes, TimingSink
from stan_edge.person.tracking import NOBODY
from stan_edge.records import Event, FrameScore, Phase, WindowResult
from stan_edge.sources import Frame
from stan_edge.sources.scripted import ScriptedSource, Show

PICTURES = [np.full((4, 4, 3), k, np.uint8) for k in range(6)]
HOP_S = 0.2


class SlowToDecode:
    """A file whose every frame takes 20 ms to decode."""

    name, live = "slow", False

    def __init__(self) -> None:
        self._source = ScriptedSource([Show(PICTURES, 20)], live=False)

    def read(self) -> Frame | None:
        time.sleep(0.02)
        return self._source.read()

    def close(self) -> None:
        self._source.close()


def test_a_frame_comes_no_sooner_than_its_decoding_time_after_its_capture() -> None:
    camera = FileCamera(SlowToDecode(), "camera")
    times = []
    while (frame := camera.read()) is not None:
        times.append((frame.t_capture_s, time.monotonic() - camera.captured_s(frame.t_capture_s)))
    assert [t for t, _ in times] == pytest.approx([k / 20 for k in range(6)])
    assert all(age_s >= 0.02 for _, age_s in times)
    assert camera.file.last_s == pytest.approx(0.25)
    assert len([spent for spent in camera.file.decode_ms if spent >= 20]) == 6


def test_a_closed_camera_delivers_nothing() -> None:
    camera = FileCamera(ScriptedSource([Show(PICTURES, 0.1)], live=False), "camera")
    assert camera.read() is not None
    camera.close()
    assert camera.read() is None


class Clock:
    """`time` for the module under test: stands where it is put."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(camera_module, "time", clock)
    return clock


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> tuple[TimingSink, StageTimes]:
    """A watch on a camera that started at 1000 s."""
    camera = FileCamera(ScriptedSource([]), "camera")
    monkeypatch.setattr(camera, "_start_s", 1000.0)
    stages = StageTimes()
    return TimingSink(camera, stages, HOP_S), stages


def window(number: int, t_start_s: float = 0.0, reason: str | None = None) -> WindowResult:
    frames = (FrameScore(0.0, 0, None, False),) * 20
    label, probability = (None, None) if reason else ("falling", 0.9)
    return WindowResult(
        "camera",
        number,
        t_start_s,
        t_start_s + 2,
        reason is None,
        reason,
        label,
        probability,
        None,
        frames,
        "none",
        1.0,
    )


def event(phase: Phase, t_start_s: float) -> Event:
    return Event("camera", 0, phase, "falling", t_start_s, t_start_s + 1, 0.9, ())


def frame(t_s: float, index: int = 0) -> Frame:
    return Frame(index, t_s, PICTURES[0])


def test_latency_runs_from_the_capture_of_the_completing_frame(
    watched: tuple[TimingSink, StageTimes], clock: Clock
) -> None:
    watch, _ = watched
    for number, (late_s, reason) in enumerate([(0.05, None), (0.25, None), (0.3, "shed"), (0.01, "gap")]):
        t_s = 1.9 + 0.2 * number
        clock.now_s = 1000 + t_s
        watch.frame(frame(t_s), NOBODY)
        clock.now_s += late_s
        watch.record(window(number, 0.2 * number, reason))
        watch.timeline([])
    assert [timing.state for timing in watch.windows] == ["done", "late", "shed", "invalid"]
    assert [timing.latency_ms for timing in watch.windows] == [pytest.approx(50), pytest.approx(250), None, None]
    assert [timing.due_s for timing in watch.windows] == pytest.approx([1.9, 2.1, 2.3, 2.5])
    assert (watch.first_frame_s, watch.first_result_s) == pytest.approx((1001.9, 1001.95))


def test_a_window_that_only_the_end_completes_has_no_latency(
    watched: tuple[TimingSink, StageTimes], clock: Clock
) -> None:
    watch, _ = watched
    watch.frame(frame(1.86), NOBODY)  # the last tick, 1.9 s, lies after it
    clock.now_s += 5
    watch.record(window(0))
    watch.timeline([])
    watch.record(event("start", 1.0))
    assert [(timing.state, timing.latency_ms) for timing in watch.windows] == [("done", None)]
    assert watch.events == []


def test_events_are_timed_from_the_frame_that_brought_them_on_and_from_their_onset(
    watched: tuple[TimingSink, StageTimes], clock: Clock
) -> None:
    watch, _ = watched
    for number, phase in enumerate(("start", "update")):
        t_s = 1.9 + 0.2 * number
        watch.frame(frame(t_s), NOBODY)
        clock.now_s = 1000 + t_s + 0.06
        watch.record(window(number, 0.2 * number))
        watch.timeline([])
        watch.record(event(phase, 1.5))  # type: ignore[arg-type]
    clock.now_s += 9
    watch.timeline([])  # the end of the recording
    watch.record(event("end", 1.5))
    assert [timing.latency_ms for timing in watch.events] == pytest.approx([60, 60])
    assert watch.events[0].onset_ms == pytest.approx(460)
    assert watch.events[1].onset_ms is None


def test_the_warm_up_ends_with_the_first_frame_after_five_results(watched: tuple[TimingSink, StageTimes]) -> None:
    watch, stages = watched
    for index in range(40):
        stages.ms["region"].append(1.0)
        watch.frame(frame(index / 10, index), NOBODY)
        if index >= 19 and index % 2:
            stages.ms["view"].append(1.0)
            stages.ms["queue"].append(0.0)
            stages.ms["explain"].append(1.0)
            watch.record(window(len(watch.windows)))
            stages.ms["conclude"].append(1.0)
    assert watch.warm_up == {"decode": 28, "region": 28, "view": 5, "queue": 5, "explain": 5, "conclude": 5}
    assert WARM_UP_WINDOWS == 5
