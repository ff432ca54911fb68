from __future__ import annotations

import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.faults.mosquitto import PROGRAM, Listener, Mosquitto, free_port
from stan_edge.backends.base import Backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Event, FrameScore, Phase, Record, Start, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.mqtt import Mqtt
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker
from stan_edge.sinks.health import Health
from stan_edge.sinks.http import HttpServer, ListenAddress
from stan_edge.sinks.metrics import Families, Metrics
from stan_edge.sources.scripted import ScriptedSource, Show, Step

OpenMqtt = Callable[..., Mqtt]

CAMERA = "camera 0"
ALARMS = ("falling", "chest_pain")
HOP_S = 0.2
START = Start(
    camera=CAMERA,
    model="tiny",
    model_digest="d1gest",
    backend="onnxruntime",
    precision="f32",
    fallback=False,
    method="gradcam",
    view="blend",
    calibrated=True,
    run="run",
    live=True,
    hop_s=0.2,
    target_class=None,
    crop=None,
    person=True,
)


def an_event(number: int, phase: Phase = "start", label: str = "falling", run: str = "run") -> Event:
    frames = (FrameScore(3.4, 102, 0.9, True),)
    return Event(CAMERA, number, phase, label, 3.1, 4.9, 0.97, frames, id=f"{run}-{number}")


def a_window(number: int, label: str | None = "background", reason: str | None = None) -> WindowResult:
    probabilities = None if label is None else {label: 0.93}
    frames = (FrameScore(number / 5, number * 5, None, False),)
    valid, probability = label is not None, None if label is None else 0.93
    return WindowResult(
        CAMERA,
        number,
        number / 5,
        number / 5 + 2,
        valid,
        reason,
        label,
        probability,
        probabilities,
        frames,
        "tracked",
        60,
    )


class Receiver(ThreadingHTTPServer):
    """Answers as its plan says, and then with 204; keeps every request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.plan: list[int | dict[str, Any] | None] = []
        """Statuses; a dictionary also has headers; None hangs up without an answer."""
        self.asked: list[tuple[str, Headers, bytes, float]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/t0ken?room=3"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body, _ in self.asked]

    def wait(self, requests: int, timeout_s: float = 15) -> None:
        until_s = time.monotonic() + timeout_s
        while len(self.asked) < requests:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{len(self.asked)} requests came, not {requests}")
            time.sleep(0.01)

    def handle_error(self, *_: object) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.plan.pop(0) if self.server.plan else 204
        self.server.asked.append((self.path, self.headers, body, time.monotonic()))
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        headers = answer if isinstance(answer, dict) else {"status": answer}
        self.send_response(headers["status"])
        for name, value in headers.items():
            if name != "status":
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="stan_edge")


@pytest.fixture
def broker_at(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts real brokers, with lines for their configuration."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    started: list[Mosquitto] = []

    def start(*settings: str, anonymous: bool = True) -> Mosquitto:
        started.append(Mosquitto(tmp_path / f"mosquitto-{len(started)}", *settings, anonymous=anonymous))
        started[-1].start()
        return started[-1]

    yield start
    for mosquitto in started:
        mosquitto.stop()


@pytest.fixture
def mosquitto(broker_at: Callable[..., Mosquitto]) -> Mosquitto:
    return broker_at()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    listening = Listener(mosquitto.port)
    yield listening
    listening.close()


@pytest.fixture
def open_mqtt() -> Iterator[OpenMqtt]:
    opened: list[Mqtt] = []

    def start(broker: Broker | int, outbox: Path | None = None, **options: Any) -> Mqtt:
        if isinstance(broker, int):
            broker = Broker.parse(f"mqtt://127.0.0.1:{broker}/ward")
        opened.append(Mqtt(broker, CAMERA, ALARMS, Outbox(outbox), **options))
        return opened[-1]

    yield start
    for sink in opened:
        sink.close()


def tell(sink: Sink, *records: Record) -> None:
    for record in records:
        sink.record(record)


class Served:
    """What is served about a camera, and how to ask for it."""

    def __init__(self, deliveries: list[DeliveryWorker]) -> None:
        self.port = free_port()
        self.health = Health()
        families = Families()
        self.metrics = Metrics("room", HOP_S, self.health, deliveries, families)
        self.server = HttpServer(ListenAddress("127.0.0.1", self.port), [self.health], families.registry)
        self.sinks: list[Sink] = [self.health, self.metrics]

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
    serving.server.close()


@pytest.fixture
def run(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., End]:
    def watch(sinks: list[Sink], *script: Any, explain: Any = explainer, **options: Any) -> End:
        source = ScriptedSource(script, name="room", **options)
        return Runtime(tiny_bundle, backend, explain).watch([CameraSpec(source, None, sinks)])[0]

    return watch


@pytest.fixture(scope="module")
def scene(noisy: Callable[..., np.ndarray]) -> list[Step]:
    """Dark, then light, which is `falling`."""
    return [Show([*noisy(15, 60), *noisy(30, 190)], 10)]
