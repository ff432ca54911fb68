"""Prometheus metrics of cameras, in a registry of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar, get_args

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


Family = TypeVar("Family", Counter, Gauge, Histogram)


class Families:
    """The metrics that the cameras of a run fill in."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        levels = ", ".join(f"{k} {name}" for k, name in enumerate(get_args(LoadLevel)))
        self.online = self._add(Gauge, "camera_online", "Whether the camera is there and delivers.")
        self.outages = self._add(Counter, "camera_outages", "How often the camera was lost or stalled.", "state")
        self.frames = self._add(Counter, "frames", "Frames that arrived.")
        self.dropped = self._add(Counter, "frames_dropped", "Frames lost, by cause.", "cause")
        due = "Windows that were due, by what became of them: done, invalid or shed; the sum is all."
        self.windows = self._add(Counter, "windows", due, "outcome", "reason")
        self.unexplained = self._add(
            Counter, "windows_unexplained", "Windows done, but not explained, for want of time."
        )
        self.late = self._add(Counter, "windows_late", "Windows done later than one hop after their last frame.")
        self.latency = self._add(
            partial(Histogram, buckets=LATENCY_S),
            "window_latency_seconds",
            "From the arrival of a window's last frame to its result; shed and invalid windows left out.",
        )
        self.load = self._add(Gauge, "load_level", f"What is left out to stay on time: {levels}")
        self.events = self._add(Counter, "events", "Events that started.", "label")
        self.active = self._add(Gauge, "events_active", "Events going on.", "label")
        self.model = self._add(Gauge, "model_info", "The model that runs, as labels.", *MODEL_FACTS)
        self.age = self._add(Gauge, "last_frame_age_seconds", "Since the last frame came; NaN: none came.")
        threads = Gauge("stan_edge_threads", "Threads of the process, the engine's included.", registry=self.registry)
        threads.set_function(psutil.Process().num_threads)
        ProcessCollector(registry=self.registry)  # memory, CPU time, open files
        self.deliveries: dict[str, Sequence[DeliveryWorker]] = {}
        self.registry.register(_Deliveries(self.deliveries))

    def _add(self, kind: Callable[..., Family], name: str, text: str, *labels: str) -> Family:
        return kind(f"stan_edge_{name}", text, ["camera", *labels], registry=self.registry)


class Metrics(Sink):
    """Counts what happens to one camera.

    Args:
        hop_s: a window that took longer is late.
        health: knows when the last frame came.
        deliveries: those of the camera, whose messages are counted.
        families: those of the run.
    """

    def __init__(
        self, camera: str, hop_s: float, health: Health, deliveries: Sequence[DeliveryWorker], families: Families
    ) -> None:
        self._all = families
        self._camera = camera
        self._hop_s = hop_s
        self._dropped_before: dict[str, int] = {}
        self._all.deliveries[camera] = deliveries
        age = self._all.age.labels(camera)
        age.set_function(lambda: float("nan") if (age_s := health.frame_age_s) is None else age_s)

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
        outcome = "done" if window.valid else "shed" if window.reason == "shed" else "invalid"
        self._all.windows.labels(self._camera, outcome, str(window.reason) if outcome == "invalid" else "").inc()
        if window.valid:
            self._all.unexplained.labels(self._camera).inc(window.method is None)
            self._all.latency.labels(self._camera).observe(window.latency_ms / 1e3)
            self._all.late.labels(self._camera).inc(window.latency_ms / 1e3 > self._hop_s)


class _Deliveries(Collector):
    """What the delivery workers report at the moment of the scrape."""

    def __init__(self, deliveries: Mapping[str, Sequence[DeliveryWorker]]) -> None:
        self._deliveries = deliveries

    def collect(self) -> list[Metric]:
        labels = ["camera", "sink"]
        found: list[GaugeMetricFamily | CounterMetricFamily] = [
            GaugeMetricFamily("stan_edge_messages_waiting", "Messages not yet delivered.", labels=labels),
            CounterMetricFamily("stan_edge_messages_delivered", "Messages delivered.", labels=labels),
            CounterMetricFamily("stan_edge_messages_lost", "Messages that will not be delivered.", labels=labels),
        ]
        for camera, of_camera in self._deliveries.items():
            for delivery in of_camera:
                numbers = (delivery.waiting, delivery.delivered, delivery.lost)
                for family, number in zip(found, numbers, strict=True):
                    family.add_metric([camera, delivery.name], number)
        return [*found]
