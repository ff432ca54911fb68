"""What Prometheus gets."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.faults.mosquitto import free_port
from stan_edge.model.bundle import Bundle
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Load, Record, Status, WindowCounts
from stan_edge.sinks import health
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker
from stan_edge.sinks.health import Health
from stan_edge.sinks.http import HttpServer, ListenAddress
from stan_edge.sinks.metrics import Families, Metrics
from stan_edge.sources import Frame
from stan_edge.sources.scripted import Black, Show
from tests.stan_edge.sinks.conftest import HOP_S, START, Served, a_window, an_event


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


def test_two_cameras_of_a_run_are_told_apart_and_as_healthy_as_the_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    families, healths = Families(), [Health("door"), Health("yard")]
    door, yard = (Metrics(each.camera, HOP_S, each, [], families) for each in healths)
    server = HttpServer(ListenAddress("127.0.0.1", port := free_port()), healths, families.registry)
    served = Served.__new__(Served)
    served.port = port
    for metrics, number in ((door, 2), (yard, 5)):
        metrics.record(START)
        for k in range(number):
            metrics.record(a_window(k))
    yard.record(replace(a_window(9), method="gradcam"))
    yard.record(Load("yard", "explain_every_second", "gradcam", "windows were late for 1 s", 3.0))
    _, text = served.ask("/metrics")
    found = {
        (sample.name, sample.labels["camera"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "camera" in sample.labels
    }
    assert (found["stan_edge_windows_total", "door"], found["stan_edge_windows_total", "yard"]) == (2, 6)
    assert found["stan_edge_windows_unexplained_total", "yard"] == 5
    assert (found["stan_edge_load_level", "door"], found["stan_edge_load_level", "yard"]) == (0, 3)
    assert len(text.splitlines()) == len(set(text.splitlines()))
    for each in healths:
        each.record(START)
    healths[0].frame(None, None)  # type: ignore[arg-type]
    status, told = served.ask("/health/ready")
    assert (status, json.loads(told)) == (503, {"ok": False, "frame_age_s": None, "bad": ["yard"]})
    healths[1].frame(None, None)  # type: ignore[arg-type]
    assert served.ask("/health/ready")[0] == 200
    monkeypatch.setattr(health, "LIVE_S", 0.2)
    time.sleep(0.3)
    healths[0].turn({})
    assert json.loads(served.ask("/health/live")[1])["bad"] == ["yard"]
    healths[1].record(End("yard", "it is gone.", 3, WindowCounts(), failed=True))
    assert served.ask("/health/live")[0] == 200  # it need not turn any more...
    assert json.loads(served.ask("/health/ready")[1])["bad"] == ["yard"]  # ... and sees nothing
    server.close()


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


def test_deliveries_are_counted() -> None:
    released = threading.Event()

    class Stuck(DeliveryWorker):
        def take(self, record: object, at: str) -> None:
            released.wait(20)

    stuck = Stuck("stuck", Outbox(None))
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
