"""MQTT: events that survive an outage of the broker, and what is the case now, retained."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stan_edge.files import plain_name
from stan_edge.log import Say, say
from stan_edge.records import CameraState, End, Event, Load, LoadLevel, Record, Start, Status, WindowResult, to_line
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.events import EventDelivery
from stan_edge.sinks.delivery.home_assistant import discovery
from stan_edge.sinks.delivery.outbox import Outbox

KEEPALIVE_S = 20
"""The broker says `offline` after one and a half times this long without a sign of life."""
RECONNECT_S = (1, 15)
"""Shortest and longest wait before the next attempt; it doubles."""
STATE_EVERY_S = 1.0
"""A change of what is seen is told at most this often; an alarm at once."""
REFRESH_S = 60.0
"""The state is told at least this often while windows come, the availability in any case."""
ACK_S = 1.0


class Mqtt(EventDelivery):
    """One camera's topics under `<prefix>/<camera>/`:

    - `event`: every phase of every event, in order, QoS 1; the next one goes when the broker has the one before.
      A repetition after an outage has the same `id` and `sequence`.
    - `state`: what is the case, retained: label, probability, alarms that are on, what is left out to stay on time.
    - `availability`: `online` or `offline`, retained; the broker itself says `offline` when the connection breaks.
    - `window`: verdicts, thinned out, not kept for a broker that is away.

    What is retained is sent with QoS 0, and anew on every connection: a repetition by QoS 1 would bring an old state
    back.

    Args:
        alarms: classes that are alarms.
        outbox: where events wait.
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
        say: Say = say,
    ) -> None:
        self._broker = broker
        self._base = f"{broker.prefix}/{plain_name(camera)}"
        self._window_every_s = window_every_s
        self._home_assistant = home_assistant
        self._alarms: dict[str, Literal["ON", "OFF"]] = dict.fromkeys(alarms, "OFF")
        self._start: Start | None = None
        self._end: End | None = None
        self._load: LoadLevel = "full"
        self._window: tuple[WindowResult, str] | None = None
        self._state_told_s = self._window_told_s = self._refreshed_s = -REFRESH_S
        self._told: tuple[object, ...] = ()
        self._under_way: int | None = None  # paho's number of the outbox's first message
        self._available = "online"  # the camera; without a connection the broker says offline
        self._away: CameraState | None = None
        self._connected = False
        self._trouble: str | None = None
        self._heard: deque[Callable[[], None]] = deque()  # paho's thread says, ours does
        self._client = self._make_client()
        super().__init__("mqtt", outbox, say)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def take(self, record: Record, at: str) -> None:
        match record:
            case Start():
                self._start = record
                self._announce()
            case WindowResult():
                self._window = (record, at)
                self._tell_state(at_once=False)
                self._tell_window(record, at)
            case Event():
                self.keep(record, at)
                if record.label in self._alarms:
                    self._alarms[record.label] = "OFF" if record.phase == "end" else "ON"
                self._tell_state(at_once=record.phase != "update")
            case Status():
                self._available = "online" if record.state == "online" else "offline"
                self._away = None if record.state == "online" else record.state
                self._window = None  # what was seen before is the case no longer
                if self._connected:
                    self._tell("availability", self._available)
                self._tell_state(at_once=self._away is not None)
            case Load():
                self._load = record.level
                self._tell_state(at_once=True)
            case End():
                self._end = record
                self._tell_state(at_once=True)

    def work(self) -> float | None:
        while self._heard:
            self._heard.popleft()()
        if not self._connected:
            return None
        message = self._outbox.first()
        if message and self._under_way is None:
            self._under_way = self._client.publish(f"{self._base}/event", message.body, qos=1).mid
        now_s = time.monotonic()
        if now_s - self._refreshed_s >= REFRESH_S:
            # the will of an older connection may be executed after this one began, and say that we are gone
            self._tell("availability", self._available)
            self._refreshed_s = now_s
        return REFRESH_S

    def idle(self) -> bool:
        return not self._outbox if self._connected else self._trouble is not None

    def leave(self) -> None:
        if self._connected:
            info = self._client.publish(f"{self._base}/availability", "offline", qos=1, retain=True)
            with suppress(RuntimeError):  # the connection has broken in this moment; the broker says it for us
                info.wait_for_publish(ACK_S)
        super().leave()
        self._client.disconnect()
        # this waits for an attempt to connect, and nobody should wait for that
        threading.Thread(target=self._client.loop_stop, name="mqtt end", daemon=True).start()

    def _make_client(self) -> paho.Client:
        broker = self._broker
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"stan-edge-{uuid4().hex[:12]}", reconnect_on_failure=True
        )
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            client.tls_set_context(broker.tls)
        client.will_set(f"{self._base}/availability", "offline", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    # paho's thread calls these and holds its locks meanwhile: they only leave word

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        self._hear(lambda: self._refused(str(reason)) if reason.is_failure else self._connect())

    def _on_connect_fail(self, _client: object, _data: object) -> None:
        error = sys.exc_info()[1]  # paho is handling it just now
        self._hear(lambda: self._lose(f"cannot be reached ({error or 'no answer'})"))

    def _on_disconnect(self, _client: object, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        self._hear(lambda: self._lose(f"has been lost ({reason})"))

    def _on_publish(self, _client: object, _data: object, number: int, _reason: object, _properties: object) -> None:
        self._hear(lambda: self._acknowledge(number))

    def _hear(self, step: Callable[[], None]) -> None:
        self._heard.append(step)
        self.wake()

    def _connect(self) -> None:
        if self._trouble is not None:
            self._say(f"mqtt: connected to {self._broker.host} again, {len(self._outbox)} messages go out.")
        self._connected, self._trouble = True, None
        self._refreshed_s = -REFRESH_S
        self._announce()

    def _refused(self, reason: str) -> None:
        self._lose(f"refuses this client ({reason}); check user and password")

    def _lose(self, why: str) -> None:
        self._connected = False
        if self._trouble is None:
            self._say(
                f"mqtt: the broker {self._broker.host}:{self._broker.port} {why}; events wait, it is tried again."
            )
        self._trouble = why

    def _acknowledge(self, number: int) -> None:
        if number == self._under_way:
            self._under_way = None
            self._outbox.remove_first()
            self.delivered += 1

    def _announce(self) -> None:
        if self._start is None or not self._connected:
            return
        if self._home_assistant:
            for topic, config in discovery(self._broker.prefix, self._base, self._start, list(self._alarms)):
                self._client.publish(topic, json.dumps(config), retain=True)
        self._tell_state(at_once=True)

    def _tell_state(self, *, at_once: bool) -> None:
        """Publish the state when it must be, or when something has changed or a while has passed."""
        window, at = self._window or (None, None)
        now_s = time.monotonic()
        seen = (window.label, window.valid, window.reason) if window else ()
        since_s = now_s - self._state_told_s
        due = at_once or since_s >= REFRESH_S or (seen != self._told and since_s >= STATE_EVERY_S)
        if not due or self._start is None or not self._connected:
            return
        state = {
            "camera": self._start.camera,
            "model": self._start.model,
            "at": at,
            "valid": window.valid if window else False,
            "reason": window.reason if window else self._away,
            "label": window.label if window else None,
            "probability": round(window.probability, 4) if window and window.probability is not None else None,
            "person": window.person if window else None,
            "alarms": self._alarms,
            "load": self._load,
            "ended": self._end.reason if self._end else None,
        }
        self._tell("state", json.dumps(state))
        self._state_told_s, self._told = now_s, seen

    def _tell_window(self, window: WindowResult, at: str) -> None:
        now_s = time.monotonic()
        wanted = self._window_every_s is not None and now_s - self._window_told_s >= self._window_every_s
        if wanted and self._connected:
            self._window_told_s = now_s
            self._client.publish(f"{self._base}/window", to_line(window, at).encode("utf-8", "replace"))

    def _tell(self, what: str, payload: str) -> None:
        self._client.publish(f"{self._base}/{what}", payload, retain=True)
