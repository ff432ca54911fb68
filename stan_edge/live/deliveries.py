"""What tells other systems: MQTT, webhook, HTTP and systemd."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from stan_edge.config.run_config import MQTT_PASSWORD, WEBHOOK_SECRET, RunConfig
from stan_edge.extras import need_extra
from stan_edge.files import plain_name
from stan_edge.live.cameras import read_secret
from stan_edge.model.contract import Contract
from stan_edge.sinks.base import Sink
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.webhook import Webhook, WebhookTarget
from stan_edge.sinks.delivery.worker import DeliveryWorker
from stan_edge.sinks.systemd import Service, Systemd

if TYPE_CHECKING:  # of optional extras
    from stan_edge.sinks.delivery.broker import Broker
    from stan_edge.sinks.http import ListenAddress


class Deliveries:
    """Addresses and secrets that can be used; nothing is open yet.

    Raises:
        ConfigError: one of them cannot be used, or its extra is not installed.
    """

    broker: Broker | None = None
    webhook: WebhookTarget | None = None
    http: ListenAddress | None = None

    def __init__(self, config: RunConfig) -> None:
        mqtt, webhook, listen = config.mqtt, config.webhook, config.http.listen
        self._mqtt, self._outbox_folder = mqtt, config.outbox.folder
        if mqtt.url:
            need_extra("mqtt", "paho", field="mqtt.url")
            from stan_edge.sinks.delivery.broker import Broker

            password = _secret("mqtt.password_file", mqtt.password_file, MQTT_PASSWORD)
            self.broker = Broker.parse(mqtt.url, password, mqtt.ca)
        if webhook.url:
            secret = _secret("webhook.secret_file", webhook.secret_file, WEBHOOK_SECRET)
            self.webhook = WebhookTarget.parse(webhook.url, secret)
        if listen:
            need_extra("metrics", "prometheus_client", field="http.listen")
            from stan_edge.sinks.http import ListenAddress

            self.http = ListenAddress.parse(listen)

    def open(self, cameras: Sequence[str], contract: Contract, hop_s: float, stack: ExitStack) -> list[list[Sink]]:
        """Open everything for each camera; systemd, too, where the process is its service.

        Args:
            stack: closes what is the whole run's.

        Raises:
            ConfigError: an address cannot be listened on, or the outbox cannot be used.
        """
        service = Service.from_environment()
        with ExitStack() as undo:
            sinks: list[list[Sink]] = [[Systemd(service, camera)] if service else [] for camera in cameras]
            for systemd, *_ in filter(None, sinks):
                undo.callback(systemd.discard)
            workers = [self._open_workers(camera, contract, undo) for camera in cameras]
            if self.http:
                from stan_edge.sinks.health import Health
                from stan_edge.sinks.http import HttpServer
                from stan_edge.sinks.metrics import Families, Metrics

                families, healths = Families(), [Health(camera) for camera in cameras]
                for camera, health, watched, own in zip(cameras, healths, workers, sinks, strict=True):
                    own += [health, Metrics(camera, hop_s, health, watched, families)]
                stack.callback(HttpServer(self.http, healths, families.registry).close)
            undo.pop_all()
        return [[*others, *own] for others, own in zip(sinks, workers, strict=True)]

    def _open_workers(self, camera: str, contract: Contract, undo: ExitStack) -> list[DeliveryWorker]:
        workers: list[DeliveryWorker] = []
        if self.broker:
            from stan_edge.sinks.delivery.mqtt import Mqtt

            mqtt = self._mqtt
            workers.append(
                Mqtt(
                    self.broker,
                    camera,
                    contract.alarms,
                    self._outbox("mqtt", camera),
                    window_every_s=mqtt.window_every_s,
                    home_assistant=mqtt.home_assistant,
                )
            )
            undo.callback(workers[-1].discard)
        if self.webhook:
            workers.append(Webhook(self.webhook, self._outbox("webhook", camera)))
            undo.callback(workers[-1].discard)
        return workers

    def _outbox(self, sink: str, camera: str) -> Outbox:
        folder = self._outbox_folder
        return Outbox(folder and folder / f"{sink}-{plain_name(camera)}.sqlite")


def _secret(field: str, file: Path | None, variable: str) -> str | None:
    return os.environ.get(variable) if file is None else read_secret(file, field)
