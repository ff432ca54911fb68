"""MQTT: events that survive an outage of the broker, and what is the case now, retained."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stan_edge.records import End, Event, Load, Record, Start, Status, WindowResult, to_line
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.home_assistant import discovery
from stan_edge.sinks.delivery.mqtt_topics import Topics
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker

_logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
"""The broker says `offline` after one and a half times this long without a sign of life."""
RECONNECT_S = (1, 15)
"""Shortest and longest wait before the next attempt; it doubles."""
STATE_EVERY_S = 1.0
"""A change of what is seen is published at most this often; an alarm at once."""
REFRESH_S = 60.0
"""The state is published at least this often while windows come, the availability in any case."""
ACK_S = 1.0
NO_WINDOW: dict[str, Any] = {"at": None, "valid": False} | dict.fromkeys(("reason", "label", "probability", "person"))
"""The part of the state that windows fill in."""


class Mqtt(DeliveryWorker):
    """Publishes the topics of one camera; see `Topics`.

    Args:
        alarms: classes that are alarms.
        window_every_s: at most one window in this time; None: no windows.
        home_assistant: announce the alarms to Home Assistant.
    """

    def __init__(
        self,
        broker: Broker,
        camera: str,
        alarms: Sequence[str],
        outbox: Outbox,
        *,
        window_every_s: float | None = None,
        home_assistant: bool = False,
    ) -> None:
        self._broker = broker
        self._topics = Topics(broker.prefix, camera)
        self._window_every_s = window_every_s
        self._home_assistant = home_assistant
        self._start: Start | None = None
        self._alarms = dict.fromkeys(alarms, "OFF")
        self._state = {"camera": camera, "model": None, **NO_WINDOW}
        self._state.update(alarms=self._alarms, load="full", ended=None)
        self._state_sent_s = self._window_sent_s = self._refreshed_s = -REFRESH_S
        self._seen: list[object] | None = None  # label and validity in the last state
        self._in_flight: int | None = None  # paho's number of the outbox's first message
        self._available = "online"  # the camera; without a connection the broker says offline
        self._connected = False
        self._trouble: str | None = None
        self._callbacks: deque[Callable[[], None]] = deque()  # from paho's thread, for ours
        self._client = self._make_client()
        super().__init__("mqtt", outbox)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def take(self, record: Record, at: str) -> None:
        super().take(record, at)
        match record:
            case Start():
                self._start = record
                self._state |= {"camera": record.camera, "model": record.model}
                self._announce()
            case WindowResult():
                seen = record.to_json() | {"at": at}
                self._state |= {key: seen[key] for key in NO_WINDOW}
                self._publish_state(at_once=False)
                self._publish_window(record, at)
            case Event():
                if record.label in self._alarms:
                    self._alarms[record.label] = "OFF" if record.phase == "end" else "ON"
                self._publish_state(at_once=record.phase != "update")
            case Status():
                away = record.state != "online"
                self._available = "offline" if away else "online"
                self._state |= NO_WINDOW | {"reason": record.state if away else None}
                if self._connected:
                    self._retain(self._topics.availability, self._available)
                self._publish_state(at_once=away)
            case Load():
                self._state["load"] = record.level
                self._publish_state(at_once=True)
            case End():
                self._state["ended"] = record.reason
                self._publish_state(at_once=True)

    def work(self) -> float | None:
        while self._callbacks:
            self._callbacks.popleft()()
        if not self._connected:
            return None
        message = self._outbox.first()
        if message and self._in_flight is None:
            self._in_flight = self._client.publish(self._topics.event, message.body, qos=1).mid
        now_s = time.monotonic()
        if now_s - self._refreshed_s >= REFRESH_S:
            # the will of an older connection may be executed after this one began, and say that we are gone
            self._retain(self._topics.availability, self._available)
            self._refreshed_s = now_s
        return REFRESH_S

    def idle(self) -> bool:
        return not self._outbox if self._connected else self._trouble is not None

    def leave(self) -> None:
        if self._connected:
            info = self._client.publish(self._topics.availability, "offline", qos=1, retain=True)
            with suppress(RuntimeError):  # the connection has broken in this moment; the broker says it for us
                info.wait_for_publish(ACK_S)
        super().leave()
        self._client.disconnect()
        # this waits for an attempt to connect, and nobody should wait for that
        threading.Thread(target=self._client.loop_stop, name="mqtt end", daemon=True).start()

    def _make_client(self) -> paho.Client:
        broker = self._broker
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"stan-edge-{uuid4().hex[:12]}")
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.will_set(self._topics.availability, "offline", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    # paho's thread calls these and holds its locks meanwhile: what they find is done in ours

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        refused = f"refuses this client ({reason}); check user and password" if reason.is_failure else None
        self._defer(lambda: self._lose(refused) if refused else self._connect())

    def _on_connect_fail(self, _client: object, _data: object) -> None:
        error = sys.exc_info()[1]  # paho is handling it just now
        self._defer(lambda: self._lose(f"cannot be reached ({error or 'no answer'})"))

    def _on_disconnect(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        self._defer(lambda: self._lose(f"has been lost ({reason})"))

    def _on_publish(self, _client: object, _data: object, number: int, _reason: object, _properties: object) -> None:
        self._defer(lambda: self._acknowledge(number))

    def _defer(self, step: Callable[[], None]) -> None:
        self._callbacks.append(step)
        self._worker.wake()

    def _connect(self) -> None:
        if self._trouble is not None:
            _logger.info("mqtt: connected to %s again, %d messages go out.", self._broker.host, len(self._outbox))
        self._connected, self._trouble = True, None
        self._refreshed_s = -REFRESH_S
        self._announce()

    def _lose(self, why: str) -> None:
        self._connected = False
        if self._trouble is None:
            at = f"{self._broker.host}:{self._broker.port}"
            _logger.warning("mqtt: the broker %s %s; events wait, it is tried again.", at, why)
        self._trouble = why

    def _acknowledge(self, number: int) -> None:
        if number == self._in_flight:
            self._in_flight = None
            self._outbox.remove_first()
            self.delivered += 1

    def _announce(self) -> None:
        if self._start is None or not self._connected:
            return
        if self._home_assistant:
            for topic, config in discovery(self._topics, self._start, list(self._alarms)):
                self._client.publish(topic, json.dumps(config), retain=True)
        self._publish_state(at_once=True)

    def _publish_state(self, *, at_once: bool) -> None:
        """Publish the state when it must be, or when something has changed or a while has passed."""
        now_s = time.monotonic()
        seen = [self._state[key] for key in ("label", "valid", "reason")] if self._state["at"] else None
        since_s = now_s - self._state_sent_s
        due = at_once or since_s >= REFRESH_S or (seen != self._seen and since_s >= STATE_EVERY_S)
        if due and self._start is not None and self._connected:
            self._retain(self._topics.state, json.dumps(self._state))
            self._state_sent_s, self._seen = now_s, seen

    def _publish_window(self, window: WindowResult, at: str) -> None:
        now_s = time.monotonic()
        wanted = self._window_every_s is not None and now_s - self._window_sent_s >= self._window_every_s
        if wanted and self._connected:
            self._window_sent_s = now_s
            self._client.publish(self._topics.window, to_line(window, at).encode("utf-8", "replace"))

    def _retain(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, retain=True)
