"""A camera that is lost is opened again, for ever, politely."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import psutil
import pytest

from stan_edge.clock import SimulatedClock
from stan_edge.errors import ConfigError, SourceAuthError, SourceConnectError, SourceError, SourceStalledError
from stan_edge.records import Status
from stan_edge.sources import Frame, Reader, Reconnecting, Source
from stan_edge.sources.reconnecting import retry_s
from stan_edge.sources.scripted import Duplicate, Fail, Gap, Jump, Off, Show, Step
from stan_edge.sources.scripted_camera import ScriptedCamera
from tests.stan_edge.sources.conftest import picture

GONE = SourceConnectError("room cannot be reached.")
REFUSED = SourceAuthError("room asks for credentials.")


def show(duration_s: float, fps: float = 10) -> Show:
    return Show([picture(value, 8, 8) for value in range(60, 90)], fps, duration_s)


def played(steps: Sequence[Step], *, wait: bool = False, seed: int = 0) -> tuple[list[Frame | Status], ScriptedCamera]:
    clock = SimulatedClock()
    camera = ScriptedCamera(steps, clock, name="room")
    source = Reconnecting("room", camera.open, wait=wait, clock=clock, rng=random.Random(seed))
    items: list[Frame | Status] = []
    while (item := source.read()) is not None:
        items.append(item)
    return items, camera


def frames_in(items: list[Frame | Status]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def statuses_in(items: list[Frame | Status]) -> list[tuple[str, str | None, int]]:
    return [(item.state, item.reason, item.attempt) for item in items if isinstance(item, Status)]


def test_numbers_and_times_go_on_over_a_reconnect_in_a_new_segment() -> None:
    items, _ = played([show(20), Off(3.0, GONE), show(20)])
    frames = frames_in(items)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    before = [frame for frame in frames if frame.segment.number == 0]
    after = [frame for frame in frames if frame.segment.number == 1]
    assert len(before) == 200 and len(before) + len(after) == len(frames)
    assert {frame.segment.began for frame in after} == {"reconnect"}
    assert 23.0 <= after[0].t_capture_s < 26.0
    for frame in frames:  # the camera's own clock, which is the simulated one here
        assert round(frame.t_capture_s * 10) == pytest.approx(frame.t_capture_s * 10, abs=1e-6)
    assert statuses_in(items)[0] == ("online", None, 1)
    assert statuses_in(items)[1] == ("lost", str(GONE), 0)
    assert statuses_in(items)[2][::2] == ("online", 3)


def test_the_back_off_doubles_to_half_a_minute_with_jitter_and_never_ends() -> None:
    _, camera = played([show(20), Off(3600.0, GONE), show(40)])
    tries = [at_s for at_s in camera.opened_s if at_s > 20.0]
    waits = [later - sooner for sooner, later in zip([20.0, *tries], tries, strict=False)]
    assert len(waits) > 100
    for number, wait_s in enumerate(waits):
        assert 0.8 <= wait_s / min(0.5 * 2**number, 30.0) <= 1.2
    assert max(waits) - min(waits[6:]) > 5.0  # jitter: cameras that went off together do not come back together


def test_another_seed_waits_otherwise_and_the_same_one_alike() -> None:
    script = [show(20), Off(100.0, GONE), show(40)]
    one, again, other = (played(script, seed=seed)[1].opened_s for seed in (1, 1, 2))
    assert one == again != other


def test_a_connection_that_does_not_last_does_not_start_the_back_off_anew() -> None:
    flapping = [step for _ in range(200) for step in (show(0.2), Fail(GONE))]
    _, camera = played([show(1), Fail(GONE), *flapping])
    waits = [later - sooner for sooner, later in zip(camera.opened_s, camera.opened_s[1:], strict=False)]
    assert max(waits) > 20.0
    healthy = [step for _ in range(20) for step in (show(11), Fail(GONE))]
    _, camera = played(healthy)
    waits = [later - sooner for sooner, later in zip(camera.opened_s, camera.opened_s[1:], strict=False)]
    assert len(waits) >= 19 and max(waits) < 11.7


def test_a_refused_password_is_tried_every_minute() -> None:
    for failures in (1, 5, 10_000):
        assert 48.0 <= retry_s(failures, REFUSED, random.Random(failures)) <= 72.0
    assert 24.0 <= retry_s(10_000, GONE, random.Random(0)) <= 36.0


def test_a_new_reason_is_said_once() -> None:
    items, camera = played([show(20), Off(100.0, GONE), Off(300.0, REFUSED), show(90)])
    assert [(state, reason) for state, reason, _ in statuses_in(items)] == [
        ("online", None),
        ("lost", str(GONE)),
        ("connecting", str(REFUSED)),
        ("online", None),
    ]
    assert len(camera.opened_s) > 8


@pytest.mark.parametrize("error", [GONE, REFUSED, SourceStalledError("silent")], ids=lambda e: type(e).__name__)
def test_without_waiting_a_first_connection_that_fails_is_raised(error: SourceError) -> None:
    with pytest.raises(type(error)):
        played([Off(10.0, error), show(40)])
    items, _ = played([Off(10.0, error), show(90)], wait=True)
    assert [state for state, _, _ in statuses_in(items)] == ["connecting", "connecting", "online"]
    assert items[0] == Status("room", "connecting", None, 0, 0.0)
    assert frames_in(items)[0].t_capture_s == 0.0


def test_waiting_does_not_help_an_address_that_cannot_be_one() -> None:
    def connect() -> Source:
        raise ConfigError("That is no address.")

    source = Reconnecting("room", connect, wait=True, clock=SimulatedClock())
    assert isinstance(source.read(), Status)
    with pytest.raises(ConfigError):
        source.read()


def test_a_crop_that_no_longer_fits_does_not_end_a_run_of_weeks() -> None:
    clock = SimulatedClock()
    camera = ScriptedCamera([show(20), Fail(GONE), show(20)], clock)
    opened = []

    def connect() -> Source:
        opened.append(clock.now_s())
        if len(opened) == 2:
            raise ConfigError("--crop reaches outside the picture.")
        return camera.open()

    source = Reconnecting("room", connect, clock=clock)
    reasons = []
    while (item := source.read()) is not None:
        if isinstance(item, Status):
            reasons.append(item.reason)
    assert reasons == [None, str(GONE), "--crop reaches outside the picture.", None]


def test_a_connection_that_stays_silent_is_given_up() -> None:
    items, camera = played([show(20), Gap(60.0), show(40)])
    assert [state for state, _, _ in statuses_in(items)] == ["online", "lost", "online"]
    assert camera.opened_s[1] == pytest.approx(19.9 + 5.0 + 0.5, abs=0.2)


@pytest.mark.parametrize("by_s", [3600.0, 1.5, -0.5, -3600.0])
def test_a_clock_that_jumps_begins_a_segment_and_times_never_fall(by_s: float) -> None:
    frames = frames_in(played([show(5), Jump(by_s), show(5)])[0])
    assert [frame.segment.began for frame in frames] == ["start"] * 50 + ["clock"] * 50
    times = [frame.t_capture_s for frame in frames]
    assert times == sorted(times)
    assert times == pytest.approx([k / 10 for k in range(100)], abs=1e-6)


def test_a_clock_slightly_ahead_is_believed() -> None:
    frames = frames_in(played([show(5), Jump(0.5), show(5)])[0])
    assert {frame.segment.number for frame in frames} == {0}


def test_a_frame_delivered_again_keeps_its_number_and_time() -> None:
    frames = frames_in(played([show(1), Duplicate(0.3, 10), show(1)])[0])
    assert [frame.index for frame in frames] == [*range(10), 9, 9, 9, *range(10, 20)]


def test_closing_wakes_a_reader_that_waits_to_try_again() -> None:
    def connect() -> Source:
        raise REFUSED

    before = threading.active_count()
    reader = Reader(Reconnecting("room", connect, wait=True), 10)
    assert isinstance(reader.get(5.0), Status)
    assert isinstance(reader.get(5.0), Status)  # refused once, and now it waits a minute
    reader.close()
    assert threading.active_count() == before


def test_thousands_of_reconnects_leave_nothing_behind() -> None:
    process = psutil.Process()
    footprints = []
    seen = show(11, fps=1)
    for count in (100, 3000):
        clock = SimulatedClock(threads=2)
        steps = [step for _ in range(count) for step in (seen, Off(1.0, GONE))]
        camera = ScriptedCamera([*steps, show(5)], clock)
        reader = Reader(Reconnecting("room", camera.open, clock=clock, rng=random.Random(0)), 10, clock=clock)
        online = 0
        while not reader.ended:
            item = reader.get(0.5)
            online += isinstance(item, Status) and item.state == "online"
        assert online >= count + 1
        footprints.append((threading.active_count(), process.num_fds(), process.memory_info().rss))
        reader.close()
    (threads, handles, rss), (threads_after, handles_after, rss_after) = footprints
    assert (threads, handles) == (threads_after, handles_after)
    assert rss_after - rss < 16 * 2**20
