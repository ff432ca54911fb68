"""What Prometheus and a health check get over HTTP."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import prometheus_client
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bench.faults.mosquitto import free_port
from stan_edge.backends import Backend
from stan_edge.bundle import Bundle
from stan_edge.errors import ConfigError
from stan_edge.explainer import Explainer
from stan_edge.person import NOBODY
from stan_edge.records import End, Record, Status
from stan_edge.runtime import Runtime
from stan_edge.sinks import Sink, health, http_server
from stan_edge.sinks.courier import Courier
from stan_edge.sinks.health import Health
from stan_edge.sinks.http_server import HttpServer, Listening
from stan_edge.sinks.metrics import Metrics
from stan_edge.sources import Black, Frame, Gap, ScriptedSource, Show
from tests.stan_edge.sinks.conftest import START, a_window, an_event

HOP_S = 0.2


class Served:
    """The three sinks, and how to ask them."""

    def __init__(self, couriers: list[Courier]) -> None:
        self.port = free_port()
        self.health = Health()
        self.metrics = Metrics("room", HOP_S, self.health, couriers)
        self.server = HttpServer(Listening("127.0.0.1", self.port), self.health, self.metrics.registry)
        self.sinks: list[Sink] = [self.health, self.metrics, self.server]

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        """Values by name and label values, but for the camera's."""
        status, text = self.ask("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for name, value in sample.labels.items() if name != "camera")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def served() -> Iterator[Served]:
    serving = Served([])
    yield serving
    if serving.server._thread.is_alive():
        serving.server.close()


@pytest.fixture
def run(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., End]:
    def watch(sinks: list[Sink], *script: Any, explain: Any = explainer, **options: Any) -> End:
        source = ScriptedSource(script, name="room", **options)
        return Runtime(tiny_bundle, backend, explain, sinks).run(source, None)

    return watch


class Scraping(Sink):
    """Asks while the run is going on."""

    def __init__(self, served: Served) -> None:
        self.found: dict[tuple[str, ...], float] = {}
        self._served = served

    def record(self, record: object) -> None:
        if isinstance(record, End):
            self.found = self._served.samples()


def test_what_is_counted_is_what_the_records_say(
    served: Served, run: Callable[..., End], noisy: Callable[..., np.ndarray], tiny_bundle: Bundle
) -> None:
    scraping = Scraping(served)
    script = (Show([*noisy(30, 60), *noisy(30, 190)], 10), Black(3.0, 10), Show(list(noisy(30, 60, 1)), 10))
    end = run([*served.sinks, scraping], *script, live=True)
    found = scraping.found
    windows = {key[1:]: value for key, value in found.items() if key[0] == "stan_edge_windows_total"}
    assert windows["done", ""] == end.windows.done > 0
    assert sum(value for (outcome, _), value in windows.items() if outcome == "invalid") == end.windows.invalid > 0
    assert windows["invalid", "black"] > 0
    assert sum(windows.values()) == end.windows.due
    assert found["stan_edge_frames_total",] == end.frames
    assert found["stan_edge_events_total", "falling"] == 1
    assert found["stan_edge_events_active", "falling"] == 0
    assert found["stan_edge_window_latency_seconds_count",] == end.windows.done
    assert found["stan_edge_window_latency_seconds_bucket", "+Inf"] == end.windows.done
    facts = ("tiny", tiny_bundle.digest, "onnxruntime", "f32", "vanilla", "blend", "false", "true")
    (model,) = (key for key in found if key[0] == "stan_edge_model_info")
    assert set(model[1:]) == set(facts)
    assert 0 <= found["stan_edge_last_frame_age_seconds",] < 10
    assert found["stan_edge_threads",] >= threading.active_count() - 2
    assert found["process_resident_memory_bytes",] > 1e7


def test_frames_lost_because_the_machine_is_slow_are_counted_while_it_runs(
    served: Served, run: Callable[..., End], noisy: Callable[..., np.ndarray], explainer: Explainer
) -> None:
    class Slow:
        method = explainer.method

        def __call__(self, *args: Any) -> Any:
            time.sleep(0.4)
            return explainer(*args)

    scraping = Scraping(served)
    end = run([*served.sinks, scraping], Show(list(noisy(64, 190)), 30, 20.0), live=True, explain=Slow())
    assert scraping.found["stan_edge_frames_dropped_total", "slow"] == end.dropped["slow"] > 0


def test_a_window_later_than_a_hop_is_late_and_a_shed_one_is_shed(served: Served) -> None:
    served.metrics.record(a_window(0))
    served.metrics.record(replace(a_window(1), latency_ms=250.0))
    served.metrics.record(a_window(2, None, "shed"))
    found = served.samples()
    assert found["stan_edge_windows_total", "done", ""] == 2
    assert found["stan_edge_windows_total", "shed", ""] == 1
    assert found["stan_edge_windows_late_total",] == 1
    assert found["stan_edge_window_latency_seconds_bucket", "0.1"] == 1
    assert found["stan_edge_window_latency_seconds_bucket", "0.3"] == 2


def test_deliveries_are_counted(said: list[str]) -> None:
    released = threading.Event()

    class Stuck(Courier):
        def take(self, record: object, at: str) -> None:
            released.wait(20)

    stuck = Stuck("stuck", said.append)
    serving = Served([stuck])
    for _ in range(4):
        stuck.record(START)
    time.sleep(0.1)
    stuck.delivered = 7
    found = serving.samples()
    assert found["stan_edge_messages_waiting", "stuck"] == 3
    assert found["stan_edge_messages_delivered_total", "stuck"] == 7
    assert found["stan_edge_messages_lost_total", "stuck"] == 0
    released.set()
    stuck.close()
    serving.server.close()


def test_names_follow_the_conventions_and_two_cameras_do_not_share_a_registry(served: Served) -> None:
    before = list(prometheus_client.REGISTRY.collect())
    other = Served([])
    served.metrics.record(START)
    served.metrics.record(an_event(0))
    assert [family.name for family in prometheus_client.REGISTRY.collect()] == [family.name for family in before]
    assert not any(key[0] == "stan_edge_events_total" for key in other.samples())
    other.server.close()
    _, text = served.ask("/metrics")
    for family in text_string_to_metric_families(text):
        assert family.documentation
        if family.name.startswith("stan_edge_"):
            for sample in family.samples:
                assert sample.name.endswith("_total") == (family.type == "counter"), sample
    assert math.isnan(served.samples()["stan_edge_last_frame_age_seconds",])


def test_ready_is_who_has_a_model_and_sees(
    served: Served, run: Callable[..., End], noisy: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "READY_S", 0.5)
    assert served.ask("/health/ready") == (503, '{"ok": false, "frame_age_s": null}\n')
    seen: list[tuple[int, int]] = []

    class Asking(Sink):
        def frame(self, frame: Frame, region: object) -> None:
            if frame.index == 3:
                seen.append((served.ask("/health/ready")[0], served.ask("/health/live")[0]))

        def turn(self, dropped: object) -> None:
            age_s = served.health.frame_age_s
            if age_s is not None and age_s > 0.8:
                seen.append((served.ask("/health/ready")[0], served.ask("/health/live")[0]))

    run([*served.sinks[:2], Asking()], Show(list(noisy(5, 60)), 10), Gap(2.0), live=True, realtime=True)
    assert seen[0] == (200, 200)
    assert set(seen[1:]) == {(503, 200)}  # the camera gives nothing, the loop turns
    served.health.frame(None, None)  # type: ignore[arg-type]
    assert served.ask("/health/ready")[0] == 503  # the run has ended


def test_live_is_who_turns(
    served: Served,
    run: Callable[..., End],
    noisy: Callable[..., np.ndarray],
    explainer: Explainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "LIVE_S", 0.3)
    found: list[int] = []

    class Hanging:
        method = explainer.method

        def __call__(self, *args: Any) -> Any:
            found.append(served.ask("/health/live")[0])
            time.sleep(0.5)
            found.append(served.ask("/health/live")[0])
            return explainer(*args)

    run(served.sinks[:2], Show(list(noisy(21, 60)), 10), live=False, explain=Hanging())
    assert found[:2] == [200, 503]


def test_other_paths_and_methods_are_answered(served: Served) -> None:
    assert served.ask("/")[0] == 404
    assert served.ask("/health/live?verbose=1")[0] == 200
    assert json.loads(served.ask("/health/live")[1])["ok"] is True
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.0 200")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Python" not in answer


@pytest.fixture(scope="module")
def long_served() -> Iterator[Served]:
    serving = Served([])
    yield serving
    serving.server.close()


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda method, path, headers: method + b" " + path + b" HTTP/1.1\r\n" + headers + b"\r\n\r\n",
        st.sampled_from([b"GET", b"HEAD", b"POST", b"GET\0"]),
        st.binary(max_size=60),
        st.binary(max_size=120),
    )
)
@example(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n")
@example(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=9.x;q=abc, ;;=,\r\n\r\n")
@example(b"GET " + b"/" * 70000 + b" HTTP/1.0\r\n\r\n")
@example(b"GET /metrics HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n")
@example(b"GET http://[/metrics HTTP/9.9\r\n\r\n")
def test_garbage_harms_nobody(long_served: Served, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", long_served.port), timeout=10) as client:
        try:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)
        except ConnectionError:
            pass
    assert long_served.ask("/health/live")[0] == 200


def test_garbage_is_not_worth_a_word(long_served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET /metrics HTTP/1.0\r\nHost: \xff\r\n\r\n", b"X" * 100_000):
        with socket.create_connection(("127.0.0.1", long_served.port), timeout=10) as client:
            client.sendall(garbage)
    assert long_served.ask("/health/live")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_clients_that_say_nothing_take_neither_threads_nor_the_place_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 0.5)
    serving, threads = Served([]), threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", serving.port), timeout=10) for _ in range(60)]
    time.sleep(0.3)
    assert threading.active_count() <= threads + http_server.MOST_CLIENTS
    until_s = time.monotonic() + 10
    status = 0
    while status != 200 and time.monotonic() < until_s:
        try:
            status = serving.ask("/health/live")[0]
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    assert status == 200
    for client in idle:
        client.close()
    serving.server.close()


def test_an_address_that_is_taken_is_refused_by_its_flag(served: Served) -> None:
    with pytest.raises(ConfigError, match=f"--http 127.0.0.1:{served.port}: cannot be listened on"):
        HttpServer(Listening("127.0.0.1", served.port), served.health, served.metrics.registry)


def test_the_address_may_be_a_port_and_is_then_this_machine_only() -> None:
    assert Listening.parse("9464") == Listening("127.0.0.1", 9464)
    assert Listening.parse(":9464") == Listening("127.0.0.1", 9464)
    assert Listening.parse("0.0.0.0:80") == Listening("0.0.0.0", 80)
    assert Listening.parse("[::1]:9464") == Listening("::1", 9464)


@given(st.text())
@example("host:0")
@example("host:65536")
@example("http://127.0.0.1:9464")
@example("1:2:3")
@example("9464\n")
def test_any_text_is_an_address_or_a_sentence(text: str) -> None:
    try:
        at = Listening.parse(text)
    except ConfigError as error:
        assert str(error).startswith("--http")
        assert "\n" not in str(error)
    else:
        assert 0 < at.port < 65536
        assert at.host


def test_clients_that_speak_slowly_for_ever_lock_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_S", 0.5)
    ended = threading.Event()

    def drip(client: socket.socket) -> None:
        with client:
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\n")
                while not ended.wait(0.1):
                    client.sendall(b"X")
            except OSError:
                return

    clients = [
        threading.Thread(target=drip, args=(socket.create_connection(("127.0.0.1", served.port)),), daemon=True)
        for _ in range(http_server.MOST_CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(1.5)
    assert served.ask("/health/live")[0] == 200
    ended.set()
    for client in clients:
        client.join()


def test_nobody_is_ready_whose_camera_is_lost_though_a_frame_came_a_moment_ago(
    served: Served, noisy: Callable[..., np.ndarray]
) -> None:
    def told(*records: Record) -> tuple[int, float]:
        for record in records:
            for sink in served.sinks:
                sink.record(record)
        return served.ask("/health/ready")[0], served.samples()["stan_edge_camera_online",]

    frame = Frame(0, 0.0, noisy(1, 60)[0])
    assert told(START, Status("room", "connecting", None, 0, 0.0)) == (503, 0)
    told(Status("room", "online", None, 1, 0.0))
    for sink in served.sinks:
        sink.frame(frame, NOBODY)
    assert told() == (200, 1)
    assert told(Status("room", "stalled", "room is silent.", 0, 1.5)) == (200, 0)  # perhaps for a moment only
    assert told(Status("room", "lost", "room does not answer.", 0, 5.0)) == (503, 0)
    assert served.ask("/health/live")[0] == 200
    assert told(Status("room", "online", None, 3, 20.0)) == (200, 1)
    found = served.samples()
    assert (found["stan_edge_camera_outages_total", "lost"], found["stan_edge_camera_outages_total", "stalled"]) == (
        1,
        1,
    )
