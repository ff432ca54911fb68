"""Options of `run` that tell other systems, and the sinks they open."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.cli.options import need_extra, secret_in
from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from stan_edge.model.contract import Contract
    from stan_edge.sinks.base import Sink
    from stan_edge.sinks.delivery.broker import Broker
    from stan_edge.sinks.delivery.outbox import Outbox
    from stan_edge.sinks.delivery.webhook import WebhookTarget
    from stan_edge.sinks.delivery.worker import DeliveryWorker
    from stan_edge.sinks.http import ListenAddress

PANEL = "Telling other systems"
MQTT_PASSWORD, WEBHOOK_SECRET = "STAN_EDGE_MQTT_PASSWORD", "STAN_EDGE_WEBHOOK_SECRET"

MqttUrl = Annotated[
    str | None,
    typer.Option(
        "--mqtt",
        envvar="STAN_EDGE_MQTT",
        rich_help_panel=PANEL,
        help="Broker: mqtt[s]://user:password@host:1883/prefix.",
    ),
]
MqttPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--mqtt-password-file",
        rich_help_panel=PANEL,
        help=f"The password, where it is not in the address; or in {MQTT_PASSWORD}.",
    ),
]
MqttCa = Annotated[
    Path | None,
    typer.Option(
        "--mqtt-ca", rich_help_panel=PANEL, help="Authorities to trust for mqtts (PEM); default: the system's."
    ),
]
MqttWindows = Annotated[
    float | None,
    typer.Option(
        "--mqtt-windows", min=0, rich_help_panel=PANEL, help="Publish windows, too, at most one in so many seconds."
    ),
]
HomeAssistant = Annotated[
    bool, typer.Option("--home-assistant", rich_help_panel=PANEL, help="Announce the alarms to Home Assistant (MQTT).")
]
WebhookUrl = Annotated[
    str | None,
    typer.Option("--webhook", envvar="STAN_EDGE_WEBHOOK", rich_help_panel=PANEL, help="POST every event there."),
]
WebhookSecretFile = Annotated[
    Path | None,
    typer.Option("--webhook-secret-file", rich_help_panel=PANEL, help=f"Signs the requests; or in {WEBHOOK_SECRET}."),
]
OutboxFolder = Annotated[
    Path | None,
    typer.Option("--outbox", rich_help_panel=PANEL, help="Folder where undelivered events outlast a restart."),
]
HttpAt = Annotated[
    str | None,
    typer.Option(
        "--http", metavar="HOST:PORT", rich_help_panel=PANEL, help="Serve /metrics, /health/live and /health/ready."
    ),
]


PARAMETERS = (
    *("mqtt", "mqtt_password_file", "mqtt_ca", "mqtt_windows", "home_assistant"),
    *("webhook", "webhook_secret_file", "outbox", "http"),
)


@dataclass(frozen=True)
class Outlets:
    """What was asked for and can be meant; nothing is open yet."""

    broker: Broker | None
    window_every_s: float | None
    home_assistant: bool
    hook: WebhookTarget | None
    outbox: Path | None
    http: ListenAddress | None

    @classmethod
    def parse(
        cls,
        *,
        mqtt: str | None,
        mqtt_password_file: Path | None,
        mqtt_ca: Path | None,
        mqtt_windows: float | None,
        home_assistant: bool,
        webhook: str | None,
        webhook_secret_file: Path | None,
        outbox: Path | None,
        http: str | None,
    ) -> Outlets:
        """Read the options.

        Raises:
            ConfigError: one of them cannot be meant, or its extra is not installed.
        """
        if mqtt is None and (mqtt_password_file or mqtt_ca or mqtt_windows is not None or home_assistant):
            raise ConfigError("--mqtt-..., --home-assistant: there is no broker; give --mqtt mqtt://host/prefix.")
        if webhook is None and webhook_secret_file:
            raise ConfigError("--webhook-secret-file: there is nothing to sign; give --webhook URL.")
        if outbox and mqtt is None and webhook is None:
            raise ConfigError("--outbox: there is nothing to keep; give --mqtt or --webhook.")
        return cls(
            None if mqtt is None else _broker(mqtt, mqtt_password_file, mqtt_ca),
            mqtt_windows,
            home_assistant,
            None if webhook is None else _hook(webhook, webhook_secret_file),
            outbox,
            None if http is None else _listening(http),
        )

    def open(self, cameras: Sequence[str], contract: Contract, hop_s: float, stack: ExitStack) -> list[list[Sink]]:
        """Open everything for each camera; systemd, too, where the process is its service.

        Args:
            stack: closes what is the whole run's.

        Raises:
            ConfigError: an address cannot be listened on, or the outbox cannot be used.
        """
        from stan_edge.sinks.systemd import Service, Systemd

        service = Service.from_environment()
        sinks: list[list[Sink]] = [[Systemd(service, camera)] if service else [] for camera in cameras]
        couriers: list[list[DeliveryWorker]] = [[] for _ in cameras]
        try:
            for camera, its in zip(cameras, couriers, strict=True):
                self._open_couriers(camera, contract, its)
            if self.http:
                self._open_http(self.http, cameras, hop_s, couriers, sinks, stack)
        except BaseException:
            for opened in chain(*sinks, *couriers):
                opened.discard()
            raise
        return [[*own, *its] for own, its in zip(sinks, couriers, strict=True)]

    def _open_couriers(self, camera: str, contract: Contract, couriers: list[DeliveryWorker]) -> None:
        if self.broker:
            from stan_edge.sinks.delivery.mqtt import Mqtt

            sink = Mqtt(
                self.broker,
                camera,
                contract.alarms,
                self._outbox("mqtt", camera),
                window_every_s=self.window_every_s,
                home_assistant=self.home_assistant,
            )
            couriers.append(sink)
        if self.hook:
            from stan_edge.sinks.delivery.webhook import Webhook

            couriers.append(Webhook(self.hook, self._outbox("webhook", camera)))

    @staticmethod
    def _open_http(
        at: ListenAddress,
        cameras: Sequence[str],
        hop_s: float,
        couriers: Sequence[Sequence[DeliveryWorker]],
        sinks: Sequence[list[Sink]],
        stack: ExitStack,
    ) -> None:
        from stan_edge.sinks.health import Health
        from stan_edge.sinks.http import HttpServer
        from stan_edge.sinks.metrics import Families, Metrics

        families, healths = Families(), [Health(camera) for camera in cameras]
        for camera, health, telling, its in zip(cameras, healths, couriers, sinks, strict=True):
            its += [health, Metrics(camera, hop_s, health, telling, families)]
        stack.callback(HttpServer(at, healths, families.registry).close)

    def _outbox(self, sink: str, camera: str) -> Outbox:
        from stan_edge.files import plain_name
        from stan_edge.sinks.delivery.outbox import Outbox

        return Outbox(self.outbox and self.outbox / f"{sink}-{plain_name(camera)}.sqlite")


def _broker(url: str, password_file: Path | None, ca: Path | None) -> Broker:
    need_extra("mqtt", "paho")
    from stan_edge.sinks.delivery.broker import Broker

    return Broker.parse(url, _secret("--mqtt-password-file", password_file, MQTT_PASSWORD), ca)


def _hook(url: str, secret_file: Path | None) -> WebhookTarget:
    from stan_edge.sinks.delivery.webhook import WebhookTarget

    return WebhookTarget.parse(url, _secret("--webhook-secret-file", secret_file, WEBHOOK_SECRET))


def _listening(text: str) -> ListenAddress:
    need_extra("metrics", "prometheus_client")
    from stan_edge.sinks.http import ListenAddress

    return ListenAddress.parse(text)


def _secret(option: str, file: Path | None, variable: str) -> str | None:
    return os.environ.get(variable) if file is None else secret_in(option, file)
