"""`stan-edge run` in front of real network cameras that fail."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from bench.faults.cameras import Rtsp, rtsp_missing
from stan_edge.clock import SystemClock
from stan_edge.records import Status
from stan_edge.sources import Camera, Frame, Reconnecting, open_source
from tests.e2e.conftest import COMMAND, records
from tests.e2e.mjpeg import PASSWORD, USER, MjpegCamera

QUICK_S = 2.5
"""A stopped process on a busy machine."""


class Running:
    """The command, its records as they come, and when they came."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "run", *args, "--json", "--no-person"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.text = ""
        self._lines: queue.Queue[tuple[float, dict[str, Any]]] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            self._lines.put((time.monotonic(), json.loads(line)))

    def until(self, **wanted: object) -> tuple[float, dict[str, Any]]:
        """The next record that holds these values, and when it came."""
        until_s = time.monotonic() + 90
        while True:
            at_s, record = self._lines.get(timeout=max(0.1, until_s - time.monotonic()))
            if wanted.items() <= record.items():
                return at_s, record

    def stop(self) -> float:
        """Ctrl-C; how long it took to leave with 0."""
        asked_s = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
        took_s = time.monotonic() - asked_s
        self._thread.join()
        return took_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*args: str) -> Running:
        started.append(Running(*args))
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.fixture
def camera() -> Iterator[MjpegCamera]:
    with closing(MjpegCamera(closed=True)) as camera:
        yield camera


def test_a_camera_that_hangs_and_dies_is_reported_and_watched_again(
    camera: MjpegCamera, run: Callable[..., Running]
) -> None:
    running = run(camera.url)
    running.until(type="status", state="online")
    running.until(type="window", valid=True)
    camera.hangs.set()
    hung_s = time.monotonic()
    stalled_s, _ = running.until(type="status", state="stalled")
    assert stalled_s - hung_s < 2.5  # 2 s, and a pipe
    camera.hangs.clear()
    running.until(type="status", state="online")
    camera.unplug()
    unplugged_s = time.monotonic()
    lost_s, _ = running.until(type="status", state="lost")
    assert lost_s - unplugged_s < 2.5
    time.sleep(3.0)
    camera.plug_in()
    plugged_s = time.monotonic()
    online_s, online = running.until(type="status", state="online")
    assert online_s - plugged_s < 2 * 1.2 * (online_s - unplugged_s)
    _, window = running.until(type="window", valid=True)
    assert window["t_start_s"] >= online["t_s"]
    assert running.stop() < QUICK_S
    assert PASSWORD not in running.text and USER not in running.text
    found = [json.loads(line) for line in running.text.splitlines()]
    assert found[-1]["reason"] == "stopped"
    windows = [record for record in found if record["type"] == "window"]
    assert [window["window"] for window in windows] == list(range(len(windows)))
    assert "reconnect" in {window["reason"] for window in windows}
    assert not any(window["label"] for window in windows if not window["valid"])


def test_a_camera_that_is_switched_on_later_is_waited_for(camera: MjpegCamera, run: Callable[..., Running]) -> None:
    camera.unplug()
    running = run(camera.url, "--wait")
    running.until(type="start")
    running.until(type="status", state="connecting", reason=None)
    _, status = running.until(type="status", state="connecting", attempt=1)
    assert "cannot be reached" in status["reason"] and PASSWORD not in status["reason"]
    camera.plug_in()
    running.until(type="status", state="online")
    assert running.stop() < QUICK_S


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_that_takes_the_call_and_says_nothing_does_not_hold_up_ctrl_c(
    scheme: str, run: Callable[..., Running]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        running = run(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/live")
        with mute.accept()[0]:
            time.sleep(0.5)  # the native call that opens it hangs for ten seconds
            assert running.stop() < QUICK_S
    assert [json.loads(line)["type"] for line in running.text.splitlines()] == ["start", "end"]


def test_ctrl_c_is_quick_while_a_camera_hangs(camera: MjpegCamera, run: Callable[..., Running]) -> None:
    running = run(camera.url)
    running.until(type="status", state="online")
    camera.hangs.set()
    running.until(type="status", state="stalled")
    assert running.stop() < QUICK_S


def test_a_camera_with_another_password_is_refused_at_once(stan_edge, camera):
    ran = stan_edge("run", camera.open_url, "--json")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "asks for credentials and none were given" in ran.stderr
    ran = stan_edge("run", camera.url.replace(PASSWORD, "wrong"), "--json")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "did not accept the ones given" in ran.stderr
    assert "wrong" not in ran.stderr and USER not in ran.stderr


def test_a_path_that_the_camera_does_not_have_is_not_found(stan_edge):
    with closing(MjpegCamera()) as camera:
        ran = stan_edge("run", camera.open_url + "/nothing", "--json")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "does not exist (the camera answers" in ran.stderr and "404" in ran.stderr


def test_a_folder_of_pictures_is_a_film(stan_edge, tmp_path):
    rng = np.random.default_rng(0)
    for k in range(30):
        cv2.imwrite(str(tmp_path / f"{k}.png"), rng.integers(60, 200, (120, 160, 3), np.uint8))
    ran = stan_edge("run", tmp_path, "--json", "--no-person")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--fps" in ran.stderr
    ran = stan_edge("run", tmp_path, "--json", "--no-person", "--fps", "10")
    assert ran.returncode == 0, ran.stderr
    windows = [record for record in records(ran) if record["type"] == "window"]
    assert len(windows) == 6
    assert windows[0]["frames"][-1]["t_s"] == 1.9


class Hurried(SystemClock):
    """Waits a hundredth as long."""

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        return super().wait(ready, timeout_s / 100)


@pytest.mark.slow
def test_500_real_connections_leave_nothing_behind() -> None:
    process = psutil.Process()
    footprints = []
    with closing(MjpegCamera(frames_each=5)) as camera:
        source = Reconnecting("camera", lambda: open_source(camera.open_url), clock=Hurried())
        with closing(source):
            while camera.connections < 550:
                item = source.read()
                assert isinstance(item, Frame | Status)
                if camera.connections >= 50 and not footprints:
                    footprints.append((threading.active_count(), process.num_fds(), process.memory_info().rss))
        del source
        time.sleep(0.5)
        footprints.append((threading.active_count(), process.num_fds(), process.memory_info().rss))
    assert footprints[1][0] <= footprints[0][0]
    assert footprints[1][1] <= footprints[0][1]
    assert footprints[1][2] - footprints[0][2] < 30 * 2**20


@pytest.fixture
def rtsp() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An RTSP camera (H.264) and its process."""
    missing = rtsp_missing()
    if missing:
        pytest.skip(missing)
    with closing(Rtsp()) as camera:
        yield camera.url, camera.process


@pytest.mark.slow
def test_an_rtsp_camera_that_hangs_shows_nothing_old(rtsp: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = rtsp
    with closing(Reconnecting("camera", lambda: open_source(url), wait=True)) as source:
        while not isinstance(source.read(), Frame):
            pass
        for _ in range(30):
            source.read()
        process.send_signal(signal.SIGSTOP)
        hung_s = time.monotonic()
        late_s = 0.0
        while isinstance(source.read(), Frame):
            late_s = time.monotonic() - hung_s
        process.send_signal(signal.SIGCONT)
        assert late_s < 1.0  # what was under way
        while not isinstance(source.read(), Frame):
            pass


def test_letting_go_of_a_camera_does_not_wait_for_its_next_frame(camera: MjpegCamera) -> None:
    source = Camera(camera.url)
    assert source.read() is not None
    camera.hangs.set()
    ended = threading.Event()
    reading = threading.Thread(target=lambda: (_drain(source), ended.set()), daemon=True)
    reading.start()
    time.sleep(0.5)
    started_s = time.monotonic()
    source.close()
    assert time.monotonic() - started_s < 0.5
    camera.hangs.clear()
    assert ended.wait(10)
    assert not source._capture.isOpened()
    assert source.read() is None


def _drain(source: Camera) -> None:
    while source.read() is not None:
        pass
