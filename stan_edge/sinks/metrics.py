"""Prometheus metrics of a camera, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stan_edge.person import Region
from stan_edge.records import Event, Record, Start, Status, WindowResult
from stan_edge.sinks import Sink
from stan_edge.sinks.courier import Courier
from stan_edge.sinks.health import Health
from stan_edge.sources import Frame

LATENCY_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
MODEL_FACTS = ("model", "digest", "backend", "precision", "method", "view", "fallback", "calibrated")


class Metrics(Sink):
    """Counts what happens to one camera.

    Args:
        hop_s: a window that took longer is late.
        health: knows when the last frame came.
        couriers: whose deliveries are counted.
    """

    def __init__(self, camera: str, hop_s: float, health: Health, couriers: Sequence[Courier]) -> None:
        self.registry = registry = CollectorRegistry()
        self._camera = camera
        self._hop_s = hop_s
        self._dropped_before: dict[str, int] = {}
        labels = ["camera"]
        self._online = Gauge(
            "stan_edge_camera_online", "Whether the camera is there and delivers.", labels, registry=registry
        )
        self._outages = Counter(
            "stan_edge_camera_outages",
            "How often the camera was lost or stalled.",
            [*labels, "state"],
            registry=registry,
        )
        self._frames = Counter("stan_edge_frames", "Frames that arrived.", labels, registry=registry)
        self._dropped = Counter(
            "stan_edge_frames_dropped", "Frames lost, by cause.", [*labels, "cause"], registry=registry
        )
        self._windows = Counter(
            "stan_edge_windows",
            "Windows that were due, by what became of them: done, invalid or shed; the sum is all.",
            [*labels, "outcome", "reason"],
            registry=registry,
        )
        self._late = Counter(
            "stan_edge_windows_late",
            "Windows done later than one hop after their last frame.",
            labels,
            registry=registry,
        )
        self._latency = Histogram(
            "stan_edge_window_latency_seconds",
            "From the arrival of a window's last frame to its result; shed and invalid windows left out.",
            labels,
            buckets=LATENCY_S,
            registry=registry,
        )
        self._events = Counter("stan_edge_events", "Events that started.", [*labels, "label"], registry=registry)
        self._active = Gauge("stan_edge_events_active", "Events going on.", [*labels, "label"], registry=registry)
        self._model = Gauge(
            "stan_edge_model_info", "The model that runs, as labels.", [*labels, *MODEL_FACTS], registry=registry
        )
        age = Gauge(
            "stan_edge_last_frame_age_seconds", "Since the last frame came; NaN: none came.", labels, registry=registry
        )
        age.labels(camera).set_function(lambda: float("nan") if (age_s := health.frame_age_s) is None else age_s)
        threads = Gauge("stan_edge_threads", "Threads of the process, the engine's included.", registry=registry)
        threads.set_function(psutil.Process().num_threads)
        ProcessCollector(registry=registry)  # memory, CPU time, open files
        registry.register(_Deliveries(camera, couriers))

    def turn(self, dropped: Mapping[str, int]) -> None:
        for cause, number in dropped.items():
            self._dropped.labels(self._camera, cause).inc(max(0, number - self._dropped_before.get(cause, 0)))
        self._dropped_before = dict(dropped)

    def frame(self, frame: Frame, region: Region) -> None:
        self._frames.labels(self._camera).inc()

    def record(self, record: Record) -> None:
        match record:
            case Start():
                facts = (record.model, record.model_digest, record.backend, record.precision, record.method)
                states = (record.view, str(record.fallback).lower(), str(record.calibrated).lower())
                self._model.labels(self._camera, *facts, *states).set(1)
                self._online.labels(self._camera).set(1)  # a camera that is not there says so next
            case Status():
                self._online.labels(self._camera).set(record.state == "online")
                if record.state in ("lost", "stalled"):
                    self._outages.labels(self._camera, record.state).inc()
            case WindowResult():
                self._window(record)
            case Event():
                if record.phase == "start":
                    self._events.labels(self._camera, record.label).inc()
                self._active.labels(self._camera, record.label).set(record.phase != "end")

    def _window(self, window: WindowResult) -> None:
        if window.valid:
            self._windows.labels(self._camera, "done", "").inc()
            self._latency.labels(self._camera).observe(window.latency_ms / 1e3)
            if window.latency_ms / 1e3 > self._hop_s:
                self._late.labels(self._camera).inc()
        elif window.reason == "shed":
            self._windows.labels(self._camera, "shed", "").inc()
        else:
            self._windows.labels(self._camera, "invalid", str(window.reason)).inc()


class _Deliveries(Collector):
    """What the couriers say of themselves at the moment they are asked."""

    def __init__(self, camera: str, couriers: Sequence[Courier]) -> None:
        self._camera = camera
        self._couriers = couriers

    def collect(self) -> list[Metric]:
        labels = ["camera", "sink"]
        waiting = GaugeMetricFamily("stan_edge_messages_waiting", "Messages not yet delivered.", labels=labels)
        delivered = CounterMetricFamily("stan_edge_messages_delivered", "Messages delivered.", labels=labels)
        lost = CounterMetricFamily("stan_edge_messages_lost", "Messages that will not be delivered.", labels=labels)
        for courier in self._couriers:
            key = [self._camera, courier.name]
            waiting.add_metric(key, courier.waiting)
            delivered.add_metric(key, courier.delivered)
            lost.add_metric(key, courier.lost)
        return [waiting, delivered, lost]
