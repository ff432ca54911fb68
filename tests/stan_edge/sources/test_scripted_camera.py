"""Simulated time passes only when everybody waits, and a scripted camera lives by it."""

from __future__ import annotations

import threading
import time

import pytest

from stan_edge.clock import SimulatedClock, SystemClock
from stan_edge.errors import SourceConnectError, SourceStalledError
from stan_edge.sources.scripted import Gap, Off, Show
from stan_edge.sources.scripted_camera import ScriptedCamera
from tests.stan_edge.sources.conftest import frames_of, picture


def test_waiting_alone_takes_no_time_and_passes_all_of_it() -> None:
    clock, started_s = SimulatedClock(), time.monotonic()
    assert not clock.wait(lambda: False, 3600.0)
    assert clock.now_s() == 3600.0
    assert not clock.wait(lambda: False, -1.0)
    assert clock.now_s() == 3600.0
    assert clock.wait(lambda: True, 60.0)
    assert clock.now_s() == 3600.0
    assert time.monotonic() - started_s < 5.0


def test_two_threads_meet_in_the_order_of_their_deadlines() -> None:
    clock = SimulatedClock(threads=2)
    seen: list[tuple[str, float]] = []

    def run(name: str, step_s: float, count: int) -> None:
        for _ in range(count):
            clock.wait(lambda: False, step_s)
            seen.append((name, clock.now_s()))

    other = threading.Thread(target=run, args=("slow", 0.5, 200))
    other.start()
    run("fast", 0.25, 400)
    other.join(10)
    assert not other.is_alive()
    for name, step_s in (("slow", 0.5), ("fast", 0.25)):
        times = [at_s for who, at_s in seen if who == name]
        assert times == [step_s * (k + 1) for k in range(len(times))]


def test_time_stands_still_while_somebody_works() -> None:
    clock, work = SimulatedClock(threads=2), threading.Event()
    waited: list[float] = []

    def wait() -> None:
        clock.wait(lambda: False, 10.0)
        waited.append(clock.now_s())
        clock.notify()

    thread = threading.Thread(target=wait)
    thread.start()
    work.wait(0.2)
    assert (clock.now_s(), waited) == (0.0, [])
    clock.wait(lambda: bool(waited), 60.0)
    thread.join(10)
    assert waited == [10.0]


def test_what_was_waited_for_wakes_at_once() -> None:
    for clock in (SimulatedClock(threads=2), SystemClock()):
        ready: list[bool] = []

        def set_ready(clock: SimulatedClock | SystemClock = clock, ready: list[bool] = ready) -> None:
            ready.append(True)
            clock.notify()

        threading.Timer(0.05, set_ready).start()
        started_s = clock.now_s()
        assert clock.wait(lambda ready=ready: bool(ready), 60.0)
        assert clock.now_s() - started_s < 5.0


GONE = SourceConnectError("gone")


def test_a_scripted_camera_lives_whether_anybody_looks_or_not() -> None:
    clock = SimulatedClock()
    pictures = [picture(k) for k in range(10)]
    camera = ScriptedCamera([Show(pictures, fps=1), Off(5.0, GONE), Show(pictures, fps=1)], clock)
    first = camera.open()
    assert [frame.index for frame in (first.read(), first.read()) if frame] == [0, 1]
    clock.wait(lambda: False, 3.5)
    again = camera.open()
    frame = again.read()
    assert frame is not None
    assert (frame.index, frame.t_capture_s, int(frame.image[0, 0, 0])) == (0, 0.0, 5)  # counts from its own beginning
    for _ in range(4):
        assert again.read() is not None
    with pytest.raises(SourceConnectError, match="gone"):
        again.read()
    assert camera.now_s() == 10.0
    with pytest.raises(SourceConnectError, match="gone"):
        camera.open()
    clock.wait(lambda: False, 5.0)
    assert len(frames_of(camera.open())) == 10
    assert camera.opened_s == [0.0, 4.5, 10.0, 15.0]
    assert camera.open().read() is None


def test_a_silent_scripted_camera_runs_into_its_read_timeout() -> None:
    clock = SimulatedClock()
    camera = ScriptedCamera([Show([picture(0)], fps=1), Gap(60.0), Show([picture(0)], fps=1)], clock)
    connection = camera.open()
    assert connection.read() is not None
    with pytest.raises(SourceStalledError):
        connection.read()
    assert clock.now_s() == 5.0
