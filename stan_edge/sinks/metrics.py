"""Prometheus metrics of cameras, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stan_edge.person.tracking import Region
from stan_edge.records import Event, Load, LoadLevel, Record, Start, Status, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.worker import DeliveryWorker
from stan_edge.sinks.health import Health
from stan_edge.sources import Frame

LATENCY_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
MODEL_FACTS = ("model", "digest", "backend", "precision", "method", "view", "fallback", "calibrated")


class Families:
    """The metrics that the cameras of a run fill in."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        labels = ["camera"]
        self.online = Gauge(
            "stan_edge_camera_online", "Whether the camera is there and delivers.", labels, registry=registry
        )
        self.outages = Counter(
            "stan_edge_camera_outages",
            "How often the camera was lost or stalled.",
            [*labels, "state"],
            registry=registry,
        )
        self.frames = Counter("stan_edge_frames", "Frames that arrived.", labels, registry=registry)
        self.dropped = Counter(
            "stan_edge_frames_dropped", "Frames lost, by cause.", [*labels, "cause"], registry=registry
        )
        self.windows = Counter(
            "stan_edge_windows",
            "Windows that were due, by what became of them: done, invalid or shed; the sum is all.",
            [*labels, "outcome", "reason"],
            registry=registry,
        )
        self.unexplained = Counter(
            "stan_edge_windows_unexplained",
            "Windows done, but not explained, for want of time.",
            labels,
            registry=registry,
        )
        self.late = Counter(
            "stan_edge_windows_late",
            "Windows done later than one hop after their last frame.",
            labels,
            registry=registry,
        )
        self.latency = Histogram(
            "stan_edge_window_latency_seconds",
            "From the arrival of a window's last frame to its result; shed and invalid windows left out.",
            labels,
            buckets=LATENCY_S,
            registry=registry,
        )
        self.load = Gauge(
            "stan_edge_load_level",
            "What is left out to stay on time: "
            + ", ".join(f"{k} {name}" for k, name in enumerate(get_args(LoadLevel))),
            labels,
            registry=registry,
        )
        self.events = Counter("stan_edge_events", "Events that started.", [*labels, "label"], registry=registry)
        self.active = Gauge("stan_edge_events_active", "Events going on.", [*labels, "label"], registry=registry)
        self.model = Gauge(
            "stan_edge_model_info", "The model that runs, as labels.", [*labels, *MODEL_FACTS], registry=registry
        )
        self.age = Gauge(
            "stan_edge_last_frame_age_seconds", "Since the last frame came; NaN: none came.", labels, registry=registry
        )
        threads = Gauge("stan_edge_threads", "Threads of the process, the engine's included.", registry=registry)
        threads.set_function(psutil.Process().num_threads)
        ProcessCollector(registry=registry)  # memory, CPU time, open files
        self.deliveries: dict[str, Sequence[DeliveryWorker]] = {}
        registry.register(_Deliveries(self.deliveries))


class Metrics(Sink):
    """Counts what happens to one camera.

    Args:
        hop_s: a window that took longer is late.
        health: knows when the last frame came.
        deliveries: those of the camera, whose messages are counted.
        families: those of the run; by default the camera has its own.
    """

    def __init__(
        self,
        camera: str,
        hop_s: float,
        health: Health,
        deliveries: Sequence[DeliveryWorker],
        families: Families | None = None,
    ) -> None:
        self._all = families or Families()
        self._camera = camera
        self._hop_s = hop_s
        self._dropped_before: dict[str, int] = {}
        self._all.deliveries[camera] = deliveries
        age = self._all.age.labels(camera)
        age.set_function(lambda: float("nan") if (age_s := health.frame_age_s) is None else age_s)

    @property
    def registry(self) -> CollectorRegistry:
        """Where they are read."""
        return self._all.registry

    def turn(self, dropped: Mapping[str, int]) -> None:
        for cause, number in dropped.items():
            self._all.dropped.labels(self._camera, cause).inc(max(0, number - self._dropped_before.get(cause, 0)))
        self._dropped_before = dict(dropped)

    def frame(self, frame: Frame, region: Region) -> None:
        self._all.frames.labels(self._camera).inc()

    def record(self, record: Record) -> None:
        match record:
            case Start():
                facts = (record.model, record.model_digest, record.backend, record.precision, record.method)
                states = (record.view, str(record.fallback).lower(), str(record.calibrated).lower())
                self._all.model.labels(self._camera, *facts, *states).set(1)
                self._all.load.labels(self._camera).set(0)
                self._all.online.labels(self._camera).set(1)  # a camera that is not there says so next
            case Status():
                self._all.online.labels(self._camera).set(record.state == "online")
                if record.state in ("lost", "stalled"):
                    self._all.outages.labels(self._camera, record.state).inc()
            case WindowResult():
                self._window(record)
            case Load():
                self._all.load.labels(self._camera).set(get_args(LoadLevel).index(record.level))
            case Event():
                if record.phase == "start":
                    self._all.events.labels(self._camera, record.label).inc()
                self._all.active.labels(self._camera, record.label).set(record.phase != "end")

    def _window(self, window: WindowResult) -> None:
        if window.valid:
            self._all.windows.labels(self._camera, "done", "").inc()
            self._all.unexplained.labels(self._camera).inc(window.method is None)
            self._all.latency.labels(self._camera).observe(window.latency_ms / 1e3)
            if window.latency_ms / 1e3 > self._hop_s:
                self._all.late.labels(self._camera).inc()
        elif window.reason == "shed":
            self._all.windows.labels(self._camera, "shed", "").inc()
        else:
            self._all.windows.labels(self._camera, "invalid", str(window.reason)).inc()


class _Deliveries(Collector):
    """What the delivery workers report at the moment of the scrape."""

    def __init__(self, deliveries: Mapping[str, Sequence[DeliveryWorker]]) -> None:
        self._deliveries = deliveries

    def collect(self) -> list[Metric]:
        labels = ["camera", "sink"]
        waiting = GaugeMetricFamily("stan_edge_messages_waiting", "Messages not yet delivered.", labels=labels)
        delivered = CounterMetricFamily("stan_edge_messages_delivered", "Messages delivered.", labels=labels)
        lost = CounterMetricFamily("stan_edge_messages_lost", "Messages that will not be delivered.", labels=labels)
        for camera, of_camera in self._deliveries.items():
            for delivery in of_camera:
                key = [camera, delivery.name]
                waiting.add_metric(key, delivery.waiting)
                delivered.add_metric(key, delivery.delivered)
                lost.add_metric(key, delivery.lost)
        return [waiting, delivered, lost]
