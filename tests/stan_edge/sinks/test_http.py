"""What a health check gets over HTTP, and what nobody gets by garbage."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stan_edge.errors import ConfigError
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End
from stan_edge.sinks import health, http
from stan_edge.sinks.base import Sink
from stan_edge.sinks.http import HttpServer, ListenAddress
from stan_edge.sources import Frame
from stan_edge.sources.scripted import Gap, Show
from tests.stan_edge.sinks.conftest import Served


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

    run([*served.sinks, Asking()], Show(list(noisy(5, 60)), 10), Gap(2.0), live=True, realtime=True)
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

    run(served.sinks, Show(list(noisy(21, 60)), 10), live=False, explain=Hanging())
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
    monkeypatch.setattr(http._Handler, "timeout", 0.5)
    serving, threads = Served([]), threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", serving.port), timeout=10) for _ in range(60)]
    time.sleep(0.3)
    assert threading.active_count() <= threads + http.MOST_CLIENTS
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


def test_an_address_that_is_taken_is_refused_by_its_field(served: Served) -> None:
    with pytest.raises(ConfigError, match=f"127.0.0.1:{served.port} cannot be listened on") as refused:
        HttpServer(ListenAddress("127.0.0.1", served.port), [served.health], CollectorRegistry())
    assert refused.value.field == "http.listen"


def test_the_address_may_be_a_port_and_is_then_this_machine_only() -> None:
    assert ListenAddress.parse("9464") == ListenAddress("127.0.0.1", 9464)
    assert ListenAddress.parse(":9464") == ListenAddress("127.0.0.1", 9464)
    assert ListenAddress.parse("0.0.0.0:80") == ListenAddress("0.0.0.0", 80)
    assert ListenAddress.parse("[::1]:9464") == ListenAddress("::1", 9464)


@given(st.text())
@example("host:0")
@example("host:65536")
@example("http://127.0.0.1:9464")
@example("1:2:3")
@example("9464\n")
def test_any_text_is_an_address_or_a_sentence(text: str) -> None:
    try:
        at = ListenAddress.parse(text)
    except ConfigError as error:
        assert error.field == "http.listen"
        assert "\n" not in str(error)
    else:
        assert 0 < at.port < 65536
        assert at.host


def test_clients_that_speak_slowly_for_ever_lock_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_S", 0.5)
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
        for _ in range(http.MOST_CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(1.5)
    assert served.ask("/health/live")[0] == 200
    ended.set()
    for client in clients:
        client.join()
