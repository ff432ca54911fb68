"""What tells other systems: MQTT, webhook, HTTP and systemd."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from stan_edge.config.run_config import MQTT_PASSWORD, WEBHOOK_SECRET, MqttConfig, RunConfig, WebhookConfig
from stan_edge.errors import concerning
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


@dataclass(frozen=True)
class Deliveries:
    """Addresses and secrets that can be used; nothing is open yet."""

    broker: Broker | None
    window_every_s: float | None
    home_assistant: bool
    hook: WebhookTarget | None
    outbox: Path | None
    http: ListenAddress | None

    @classmethod
    def plan(cls, config: RunConfig) -> Deliveries:
        """Read addresses and secrets.

        Raises:
            ConfigError: one of them cannot be used, or its extra is not installed.
        """
        return cls(
            broker=_broker(config.mqtt),
            window_every_s=config.mqtt.window_every_s,
            home_assistant=config.mqtt.home_assistant,
            hook=_hook(config.webhook),
            outbox=config.outbox.folder,
            http=_listening(config.http.listen),
        )

    def open(self, cameras: Sequence[str], contract: Contract, hop_s: float, stack: ExitStack) -> list[list[Sink]]:
        """Open everything for each camera; systemd, too, where the process is its service.

        Args:
            stack: closes what is the whole run's.

        Raises:
            ConfigError: an address cannot be listened on, or the outbox cannot be used.
        """
        service = Service.from_environment()
        sinks: list[list[Sink]] = [[Systemd(service, camera)] if service else [] for camera in cameras]
        workers: list[list[DeliveryWorker]] = [[] for _ in cameras]
        try:
            for camera, own in zip(cameras, workers, strict=True):
                self._open_workers(camera, contract, own)
            if self.http:
                self._open_http(self.http, cameras, hop_s, workers, sinks, stack)
        except BaseException:
            for opened in chain(*sinks, *workers):
                opened.discard()
            raise
        return [[*others, *own] for others, own in zip(sinks, workers, strict=True)]

    def _open_workers(self, camera: str, contract: Contract, workers: list[DeliveryWorker]) -> None:
        if self.broker:
            from stan_edge.sinks.delivery.mqtt import Mqtt

            workers.append(
                Mqtt(
                    self.broker,
                    camera,
                    contract.alarms,
                    self._outbox("mqtt", camera),
                    window_every_s=self.window_every_s,
                    home_assistant=self.home_assistant,
                )
            )
        if self.hook:
            workers.append(Webhook(self.hook, self._outbox("webhook", camera)))

    @staticmethod
    def _open_http(
        address: ListenAddress,
        cameras: Sequence[str],
        hop_s: float,
        workers: Sequence[Sequence[DeliveryWorker]],
        sinks: Sequence[list[Sink]],
        stack: ExitStack,
    ) -> None:
        from stan_edge.sinks.health import Health
        from stan_edge.sinks.http import HttpServer
        from stan_edge.sinks.metrics import Families, Metrics

        families, healths = Families(), [Health(camera) for camera in cameras]
        for camera, health, watched, own in zip(cameras, healths, workers, sinks, strict=True):
            own += [health, Metrics(camera, hop_s, health, watched, families)]
        with concerning("http.listen"):
            stack.callback(HttpServer(address, healths, families.registry).close)

    def _outbox(self, sink: str, camera: str) -> Outbox:
        with concerning("outbox.folder"):
            return Outbox(self.outbox and self.outbox / f"{sink}-{plain_name(camera)}.sqlite")


def _broker(config: MqttConfig) -> Broker | None:
    if config.url is None:
        return None
    with concerning("mqtt.url"):
        need_extra("mqtt", "paho")
        from stan_edge.sinks.delivery.broker import Broker

        password = _secret("mqtt.password_file", config.password_file, MQTT_PASSWORD)
        return Broker.parse(config.url, password, config.ca)


def _hook(config: WebhookConfig) -> WebhookTarget | None:
    if config.url is None:
        return None
    with concerning("webhook.url"):
        return WebhookTarget.parse(config.url, _secret("webhook.secret_file", config.secret_file, WEBHOOK_SECRET))


def _listening(address: str | None) -> ListenAddress | None:
    if address is None:
        return None
    with concerning("http.listen"):
        need_extra("metrics", "prometheus_client")
        from stan_edge.sinks.http import ListenAddress

        return ListenAddress.parse(address)


def _secret(field: str, file: Path | None, variable: str) -> str | None:
    with concerning(field):
        return os.environ.get(variable) if file is None else read_secret(file)
