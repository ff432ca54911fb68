"""systemd's protocol over real datagram sockets."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.errors import SourceConnectError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Load, Status, WindowCounts
from stan_edge.sinks import systemd
from stan_edge.sinks.systemd import Service, Systemd
from stan_edge.sources.scripted import Fail, Gap, ScriptedSource, Show
from tests.conftest import wait_until
from tests.stan_edge.sinks.conftest import START, a_window


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@stan-edge-{uuid4().hex}"


class Manager:
    """The service manager's end: reads at once, as systemd does."""

    def __init__(self, address: str) -> None:
        self._lines: list[str] = []
        self._next = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0.05)
        self.reading = threading.Event()
        self.reading.set()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def told(self) -> list[str]:
        """What was said since the last time."""
        mark = uuid4().hex  # read after all that was sent before it, however slow the machine is
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(mark.encode(), self.socket.getsockname())
        wait_until(lambda: mark in self._lines)
        end = self._lines.index(mark)
        lines, self._next = self._lines[self._next : end], end + 1
        return lines

    def close(self) -> None:
        self.reading.clear()
        self._thread.join()
        self.socket.close()

    def _read(self) -> None:
        while self.reading.is_set():
            with suppress(TimeoutError):
                received = self.socket.recv(4096).decode().split("\n")  # before: what was told is not told again
                self._lines += received


@pytest.fixture
def manager(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    listening = Manager(address)
    yield listening
    listening.close()


def opened() -> Systemd:
    service = Service.from_environment()
    assert service is not None
    return Systemd(service)


@pytest.fixture
def run(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., Any]:
    def watch(sink: Systemd, *script: Any, explain: Any = explainer, **options: Any) -> Any:
        source = ScriptedSource(script, name="room", **options)
        return Runtime(tiny_bundle, backend, explain).watch([CameraSpec(source, None, [sink])])[0]

    return watch


def test_a_service_says_that_it_is_ready_what_it_sees_and_that_it_stops(
    manager: Manager, run: Callable[..., Any], noisy: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "STATUS_EVERY_S", 0.0)
    run(opened(), Show([*noisy(30, 60), *noisy(30, 190)], 10), live=False)
    lines = manager.told()
    assert lines[0] == "READY=1"
    assert lines[1] == "STATUS=camera: waiting for the first frame; 0 windows, 0 events"
    assert lines.count("READY=1") == 1
    assert "WATCHDOG=1" not in lines
    assert "STATUS=room: falling; 20 windows, 1 events" in lines
    assert lines[-2:] == ["STOPPING=1", "STATUS=room: end_of_stream"]


def test_the_watchdog_is_fed_while_the_loop_turns_also_without_frames(
    manager: Manager, run: Callable[..., Any], noisy: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "900000")
    run(opened(), Show(list(noisy(5, 60)), 10), Gap(2.0), live=True, realtime=True)
    fed = manager.told().count("WATCHDOG=1")
    assert 5 <= fed <= 11  # a third of 0.9 s, in 2.5 s


def test_the_watchdog_starves_when_the_loop_hangs(
    manager: Manager,
    run: Callable[..., Any],
    noisy: Callable[..., np.ndarray],
    explainer: Explainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    fed_meanwhile = []

    class Hanging:
        method = explainer.method

        def __call__(self, *args: Any) -> Any:
            manager.told()
            time.sleep(0.4)
            fed_meanwhile.append(manager.told())
            return explainer(*args)

    run(opened(), Show(list(noisy(21, 60)), 10), live=False, explain=Hanging())
    assert fed_meanwhile
    assert all(lines == [] for lines in fed_meanwhile)


def test_a_run_that_breaks_off_says_that_it_stops(manager: Manager, run: Callable[..., Any]) -> None:
    with pytest.raises(SourceConnectError):
        run(opened(), Fail(SourceConnectError("Nobody answers.")), live=False)
    assert manager.told()[-1] == "STOPPING=1"


def test_only_a_service_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "vsock:2:1234", "relative/path"):
        if value is None:
            monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        else:
            monkeypatch.setenv("NOTIFY_SOCKET", value)
        assert Service.from_environment() is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [("WATCHDOG_USEC", "often"), ("WATCHDOG_USEC", "0"), ("WATCHDOG_PID", str(os.getppid()))],
    ids=["no number", "never", "for another process"],
)
def test_a_watchdog_that_is_not_meant_for_us_is_not_fed(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv(variable, value)
    sink = opened()
    sink.turn({})
    sink.close()
    assert "READY=1" in (lines := manager.told())
    assert "WATCHDOG=1" not in lines


def test_a_manager_that_does_not_read_or_is_gone_holds_up_nobody(manager: Manager, address: str) -> None:
    sink = opened()
    manager.reading.clear()
    time.sleep(0.1)
    while sink._service.notify("STATUS=" + "x" * 500):  # until the socket's queue is full
        pass
    began_s = time.monotonic()
    for _ in range(1000):
        sink.turn({})
    assert not sink._service._ready
    while manager.socket.recv(4096) != b"":
        sink.turn({})
        if sink._service._ready:
            break
    assert sink._service._ready  # said as soon as there was room
    manager.close()
    for _ in range(1000):
        sink._service.notify("WATCHDOG=1")
    sink.close()
    assert time.monotonic() - began_s < 2.0


def test_several_cameras_are_one_service_that_starves_with_any_of_them(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    service = Service.from_environment()
    assert service is not None
    door, yard = Systemd(service, "door"), Systemd(service, "yard")
    for _ in range(20):
        door.turn({})
        yard.turn({})
        time.sleep(0.05)
    lines = manager.told()
    assert lines.count("READY=1") == 1
    assert 3 <= lines.count("WATCHDOG=1") <= 6
    assert any("door: waiting" in line and "yard: waiting" in line for line in lines)
    for _ in range(10):
        door.turn({})  # and the other hangs
        time.sleep(0.05)
    assert manager.told().count("WATCHDOG=1") <= 1
    yard.record(Load("yard", "labels_only", None, "windows were late for 1 s", 9.0))
    yard.turn({})
    told = manager.told()
    assert any(line.endswith("0 events, load: labels_only") for line in told)
    yard.record(End("yard", "it is gone.", 3, WindowCounts(), failed=True))
    yard.close()
    time.sleep(0.3)
    door.turn({})
    told = manager.told()
    assert "WATCHDOG=1" in told  # whoever has ended hangs no more
    assert "STOPPING=1" not in told
    door.record(End("door", "stopped", 3, WindowCounts()))
    assert manager.told() == ["STOPPING=1", "STATUS=door: stopped"]
    door.close()


def test_a_camera_that_is_lost_is_in_the_line_of_status_at_once(manager: Manager) -> None:
    sink = opened()
    for record in (START, a_window(0), Status("camera 0", "lost", "It does not answer.", 0, 3.0)):
        sink.record(record)
        sink.turn({})
    lines = manager.told()
    assert lines[-1] == "STATUS=camera 0: camera lost: It does not answer.; 1 windows, 0 events"
    sink.record(a_window(1))
    sink.record(Status("camera 0", "online", None, 2, 9.0))
    sink.turn({})
    assert manager.told()[-1] == "STATUS=camera 0: camera online; 2 windows, 0 events"
    sink.close()
