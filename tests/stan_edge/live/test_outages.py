"""Weeks in front of a camera that fails in every way, in simulated time."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest

from stan_edge.backends.base import Backend
from stan_edge.clock import SimulatedClock
from stan_edge.errors import SourceAuthError, SourceConnectError, SourceDecodeError, SourceStalledError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Event, Record, Start, Status, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Reconnecting
from stan_edge.sources.scripted import Black, Damage, Duplicate, Freeze, Gap, Jump, Off, ScriptedSource, Show, Step
from stan_edge.sources.scripted_camera import ScriptedCamera

UNREACHABLE = SourceConnectError("room cannot be reached; check the cable.")
REFUSED = SourceAuthError("room asks for credentials; check them.")


class Diary(Sink):
    """Every record and when, by the simulated clock, it was written."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.entries: list[tuple[float, Record]] = []

    def record(self, record: Record) -> None:
        self.entries.append((self._clock.now_s(), record))

    def of(self, kind: type) -> list[Any]:
        return [record for _, record in self.entries if isinstance(record, kind)]

    def states(self) -> list[str]:
        return [status.state for status in self.of(Status)]

    def when(self, state: str) -> float:
        """When a state was last written."""
        return [at_s for at_s, record in self.entries if isinstance(record, Status) and record.state == state][-1]


Watched = tuple[End, Diary, ScriptedCamera]


@pytest.fixture
def watch(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., Watched]:
    def run(*steps: Step, wait: bool = False, hop_s: float = 0.2) -> Watched:
        clock = SimulatedClock(threads=2)
        camera, diary = ScriptedCamera(steps, clock, name="room"), Diary(clock)
        source = Reconnecting("room", camera.open, wait=wait, clock=clock, rng=random.Random(0))
        end = Runtime(tiny_bundle, backend, explainer, hop_s=hop_s, clock=clock).watch(
            [CameraSpec(source, None, [diary])]
        )[0]
        check_promises(diary, end)
        return end, diary, camera

    return run


def check_promises(diary: Diary, end: End) -> None:
    """What holds whatever a camera does."""
    windows = diary.of(WindowResult)
    assert isinstance(diary.entries[0][1], Start)
    assert diary.entries[-1][1] is end
    assert [window.window for window in windows] == list(range(len(windows)))
    assert end.windows.due == len(windows) == end.windows.done + end.windows.invalid
    assert all(one.t_start_s < other.t_start_s for one, other in itertools.pairwise(windows))
    for window in windows:
        assert window.valid == (window.reason is None) == (window.label is not None)
        times = [frame.t_s for frame in window.frames]
        assert times == sorted(times)
        assert not window.valid or (len(times) == 20 and max(np.diff(times)) < 0.3)
    ended = [event.event for event in diary.of(Event) if event.phase == "end"]
    assert sorted(ended) == sorted(event.event for event in diary.of(Event) if event.phase == "start")


@pytest.fixture
def room(noisy: Callable[..., np.ndarray]) -> Callable[..., Show]:
    """So many seconds of an empty room (dark), or of a fall (bright)."""
    pictures = {level: list(noisy(64, level)) for level in (60, 190)}

    def show(duration_s: float, level: int = 60, fps: float = 10) -> Show:
        return Show(pictures[level], fps, duration_s)

    return show


@pytest.mark.parametrize("off_s", [5.0, 60.0, 300.0])
def test_a_camera_that_was_off_is_back_within_twice_the_retry_interval(
    watch: Callable[..., Watched], room: Callable[..., Show], off_s: float
) -> None:
    end, diary, camera = watch(room(20), Off(off_s, UNREACHABLE), room(45))
    assert diary.states() == ["online", "lost", "online"]
    assert diary.when("lost") == pytest.approx(20.0)
    tries = camera.opened_s
    interval_s = tries[-1] - tries[-2]
    assert diary.when("online") - (20.0 + off_s) <= 2 * interval_s
    assert all(later - sooner <= 1.2 * 30.0 for sooner, later in itertools.pairwise(tries))
    assert [window.reason for window in diary.of(WindowResult) if not window.valid] == ["reconnect"]
    back_s = diary.of(Status)[-1].t_s
    assert back_s == pytest.approx(diary.when("online"))
    first = next(window for window in diary.of(WindowResult) if window.t_end_s > 20.0 and window.valid)
    assert back_s <= first.t_start_s <= back_s + 0.4
    assert all(not 20.0 <= frame.t_s < back_s - 1e-6 for window in diary.of(WindowResult) for frame in window.frames)
    assert not end.failed


def test_a_silent_camera_is_reported_within_two_seconds_and_opened_again(
    watch: Callable[..., Watched], room: Callable[..., Show]
) -> None:
    _, diary, _ = watch(room(20), Gap(60.0), room(45))
    assert diary.states() == ["online", "stalled", "lost", "online"]
    assert diary.when("stalled") - 19.9 < 2.0
    assert diary.of(Status)[1].reason == "room has delivered nothing for 1.5 s."
    assert diary.of(Status)[1].t_s == pytest.approx(diary.when("stalled"))


def test_a_short_stall_is_over_without_another_connection(
    watch: Callable[..., Watched], room: Callable[..., Show]
) -> None:
    _, diary, camera = watch(room(10), Gap(4.0), room(10))
    assert diary.states() == ["online", "stalled", "online"]
    assert len(camera.opened_s) == 1
    assert [window.reason for window in diary.of(WindowResult) if not window.valid] == ["gap"]


def test_an_hour_of_silence_costs_a_few_lines(watch: Callable[..., Watched], room: Callable[..., Show]) -> None:
    _, diary, _ = watch(room(5), Off(3600.0, UNREACHABLE), room(45))
    assert len([record for record in diary.of(WindowResult) if not record.valid]) == 1
    assert len(diary.of(Status)) == 3
    assert diary.of(WindowResult)[-1].t_end_s > 3600.0


@pytest.mark.parametrize("lost", [Gap(600.0), Off(600.0, UNREACHABLE)], ids=["stalled", "lost"])
def test_an_event_does_not_stay_open_until_the_camera_is_back(
    watch: Callable[..., Watched], room: Callable[..., Show], lost: Step, tiny_bundle: Bundle
) -> None:
    _, diary, _ = watch(room(5), room(5, 190), lost, room(5))
    story = [
        (at_s, record) for at_s, record in diary.entries if isinstance(record, Event) and record.label == "falling"
    ]
    assert story[0][1].phase == "start"
    assert story[-1][1].phase == "end"
    assert story[-1][0] <= 10.0 + max(2.0, tiny_bundle.contract.events["falling"].merge_gap_s) + 0.5


def test_nothing_before_an_outage_counts_for_an_alarm_after_it(
    watch: Callable[..., Watched], room: Callable[..., Show], tiny_bundle: Bundle
) -> None:
    events = [
        [event for event in watch(*steps)[1].of(Event) if event.phase == "start"]
        for steps in (
            (room(10, 190), Off(5.0, UNREACHABLE), room(10, 190)),
            (room(10, 190), Jump(500.0), room(10, 190)),
        )
    ]
    assert [len(found) for found in events] == [2, 2]


def test_frozen_black_rebooting_and_damaged_in_turns_never_give_a_label(
    watch: Callable[..., Watched], room: Callable[..., Show]
) -> None:
    reboot = SourceDecodeError("room: the stream ended.")
    turns: list[Step] = []
    bad: list[tuple[float, float, str]] = []
    at_s = 0.0
    for _ in range(2):
        for step, reason in (
            (Freeze(8.0, 10), "frozen"),
            (Black(8.0, 10), "black"),
            (Off(30.0, reboot), "reconnect"),
            (Damage(8.0, 10), "damaged"),
            (Gap(3.0), "gap"),
        ):
            turns += [room(35.0, 190), step]
            bad.append((at_s + 35.0, at_s + 35.0 + step.duration_s, reason))
            at_s += 35.0 + step.duration_s
    end, diary, _ = watch(*turns, room(35.0, 190), hop_s=0.4)
    windows = diary.of(WindowResult)
    for from_s, until_s, reason in bad:
        inside = [w for w in windows if w.t_start_s >= from_s and w.t_end_s <= until_s]
        assert not any(window.valid for window in inside)
        assert reason in {w.reason for w in windows if w.t_start_s < until_s and w.t_end_s > from_s}
        assert any(w.valid for w in windows if until_s + 25.0 > w.t_start_s >= until_s), reason
    assert end.dropped == {"damaged": 160}
    assert {window.reason for window in windows} == {None, "frozen", "black", "reconnect", "damaged", "gap"}


def test_times_that_jump_begin_a_new_segment_and_go_on(
    watch: Callable[..., Watched], room: Callable[..., Show]
) -> None:
    _, diary, _ = watch(room(6), Jump(3600.0), room(6), Jump(-7200.0), room(6))
    windows = diary.of(WindowResult)
    assert [window.reason for window in windows if not window.valid] == ["clock", "clock"]
    assert windows[-1].t_end_s < 18.2
    assert diary.states() == ["online"]


def test_the_same_frame_again_is_no_picture_and_no_sign_of_life(
    watch: Callable[..., Watched], room: Callable[..., Show]
) -> None:
    end, diary, _ = watch(room(6), Duplicate(0.5, 20), room(6), Duplicate(30.0, 20), room(6))
    assert end.dropped == {"duplicate": 610}
    assert end.frames == 180
    assert diary.states() == ["online", "stalled", "online"]


def test_a_wrong_password_is_tried_seldom_and_said(watch: Callable[..., Watched], room: Callable[..., Show]) -> None:
    _, diary, camera = watch(room(20), Off(10.0, UNREACHABLE), Off(600.0, REFUSED), room(75))
    assert [(status.state, status.reason) for status in diary.of(Status)] == [
        ("online", None),
        ("lost", str(UNREACHABLE)),
        ("connecting", str(REFUSED)),
        ("online", None),
    ]
    refused = [at_s for at_s in camera.opened_s if 30.0 <= at_s < 630.0]
    assert len(refused) <= 600 / 48 + 1


def test_a_camera_that_is_not_there_at_the_start_is_an_error_or_waited_for(
    watch: Callable[..., Watched],
    room: Callable[..., Show],
    tiny_bundle: Bundle,
    backend: Backend,
    explainer: Explainer,
) -> None:
    script = (Off(100.0, UNREACHABLE), room(45))
    clock = SimulatedClock(threads=2)
    camera, diary = ScriptedCamera(script, clock), Diary(clock)
    with pytest.raises(SourceConnectError, match="cannot be reached"):
        Runtime(tiny_bundle, backend, explainer, clock=clock).watch(
            [CameraSpec(Reconnecting("room", camera.open, clock=clock), None, [diary])]
        )
    assert diary.entries == []
    end, diary, _ = watch(*script, wait=True)
    assert diary.states() == ["connecting", "connecting", "online"]
    assert [status.t_s for status in diary.of(Status)] == [0.0, 0.0, 0.0]
    assert end.frames > 0


def test_a_file_and_a_camera_with_a_long_gap_give_the_same_windows(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, room: Callable[..., Show]
) -> None:
    found = []
    for live in (False, True):
        clock = SimulatedClock(threads=1 + live)
        diary = Diary(clock)
        source = ScriptedSource([room(4, 190), Gap(3600.0), room(4)], live=live, realtime=live, clock=clock)
        Runtime(tiny_bundle, backend, explainer, clock=clock).watch([CameraSpec(source, None, [diary])])
        assert [window.reason for window in diary.of(WindowResult) if not window.valid] == ["gap"]
        found.append([(w.t_start_s, w.reason, w.probabilities, w.frames) for w in diary.of(WindowResult)])
    assert found[0] == found[1]


@pytest.mark.parametrize("state", ["connecting", "lost", "stalled"])
def test_stopping_is_quick_in_every_state(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, room: Callable[..., Show], state: str
) -> None:
    stop, asked_s, reached = threading.Event(), [0.0], threading.Event()

    class Stops(Sink):
        def record(self, record: Record) -> None:
            if isinstance(record, Status) and record.state == state:
                reached.set()

    def interrupt() -> None:
        assert reached.wait(30)
        time.sleep(0.3)
        asked_s[0] = time.monotonic()
        stop.set()

    def failing() -> ScriptedSource:
        raise SourceStalledError("room is silent.")

    scripts = {
        "connecting": failing,
        "lost": lambda: ScriptedSource([room(0.2), Off(1e4, REFUSED)], realtime=True),
        "stalled": lambda: ScriptedSource([room(0.2), Gap(1e4)], realtime=True),
    }
    source = Reconnecting("room", scripts[state], wait=True)
    before = threading.active_count()
    threading.Thread(target=interrupt).start()
    end = Runtime(tiny_bundle, backend, explainer, stop=stop).watch([CameraSpec(source, None, [Stops()])])[0]
    assert time.monotonic() - asked_s[0] < 1.0
    assert end.reason == "stopped"
    assert threading.active_count() == before


@pytest.mark.slow
def test_500_reconnects_leave_nothing_behind(watch: Callable[..., Watched], room: Callable[..., Show]) -> None:
    process = psutil.Process()

    def footprint() -> tuple[int, int, int]:
        return threading.active_count(), process.num_fds(), process.memory_info().rss

    def outages(count: int) -> list[Step]:
        seen = room(11.0, fps=4)  # long enough for the back-off to start anew
        return [step for _ in range(count) for step in (seen, Off(1.0, UNREACHABLE), seen, Gap(6.0))]

    watch(*outages(20), hop_s=2.0)
    threads, handles, rss = footprint()
    _, diary, _ = watch(*outages(250), room(11.0), hop_s=2.0)
    assert diary.states().count("online") == 501
    assert footprint()[:2] == (threads, handles)
    assert footprint()[2] - rss < 30 * 2**20
