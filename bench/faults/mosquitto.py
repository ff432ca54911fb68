"""A Mosquitto broker that can be taken down and brought back, and somebody who listens to it."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
"""None: not installed; on Debian: apt install mosquitto."""
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous {anonymous}
persistence true
persistence_location {folder}/
max_queued_messages 0
user root
"""
START_S = 10.0


def free_port() -> int:
    """A port that stays free while nobody listens: below those that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


class Mosquitto:
    """A broker on a free port. It keeps sessions over `stop` and `start`, as one that is set up well does."""

    def __init__(self, folder: Path, *settings: str, anonymous: bool = True) -> None:
        assert PROGRAM is not None
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        text = CONFIG.format(port=self.port, folder=folder, anonymous=str(anonymous).lower())
        self._config.write_text(text + "\n".join(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"mosquitto does not answer on port {self.port}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class Listener:
    """Keeps what comes, with a session that outlasts an outage."""

    def __init__(self, port: int, topic: str = "#", user: str | None = None, password: str | None = None) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        """Topic, payload, whether it was retained."""
        self._subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{uuid4().hex[:8]}", clean_session=False)
        client.username_pw_set(user, password)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe(topic, qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = lambda _c, _d, m: self.messages.append((m.topic, m.payload, m.retain))
        self._client = client
        client.connect("127.0.0.1", port)
        client.loop_start()
        if not self._subscribed.wait(START_S):
            raise RuntimeError("the broker does not take the subscription")

    def of(self, ending: str) -> list[Any]:
        """Payloads of the topics that end so."""
        return [json.loads(payload) for topic, payload, _ in list(self.messages) if topic.endswith(ending) and payload]

    def texts(self, ending: str) -> list[str]:
        """Payloads that are no JSON."""
        return [payload.decode() for topic, payload, _ in list(self.messages) if topic.endswith(ending)]

    def wait(self, until: Callable[[], object], timeout_s: float = 15.0) -> None:
        """Wait for something to have come.

        Raises:
            TimeoutError: it has not; says what has.
        """
        until_s = time.monotonic() + timeout_s
        while not until():
            if time.monotonic() > until_s:
                raise TimeoutError(f"this came, and no more: {self.messages[-30:]}")
            time.sleep(0.01)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
