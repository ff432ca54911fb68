"""The other end of a wire: cameras, brokers and receivers that answer what they like."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import cv2

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.databases import PHASES, event
from bench.faults.hostile.mutate import damaged
from bench.faults.hostile.pictures import PLAYLISTS, scene
from bench.faults.messages import kept_messages
from stan_edge.records import End, WindowCounts
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.mqtt import Mqtt
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.webhook import Webhook, WebhookTarget
from stan_edge.sources import Camera

Answer = Callable[[socket.socket], None]


class Liar:
    """Listens, and does to whoever comes what `answer` says."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.answer: Answer = lambda _: None
        self.calls = 0
        self._closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._listening.close()

    def _serve(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.calls += 1
            threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5.0)
            self.answer(connection)
            connection.shutdown(socket.SHUT_WR)
            until_s = time.monotonic() + 2.0
            while time.monotonic() < until_s and connection.recv(4096):
                continue


def _heard(connection: socket.socket, answer: bytes, pause_s: float = 0.0, piece: int = 1 << 16) -> None:
    """Wait for a request, then answer, possibly bit by bit."""
    connection.recv(4096)
    for start in range(0, len(answer), piece):
        connection.sendall(answer[start : start + piece])
        if pause_s:
            time.sleep(pause_s)


@contextmanager
def cameras(_folder: Path) -> Iterator[Case]:
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in scene()]
    head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n"
    parts = b"".join(
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
        for jpeg in jpegs
    )
    large = jpegs[0].replace(b"\xff\xc0\x00\x11\x08\x00\x40\x00\x40", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff")
    lies = (
        b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.0 302 Found\r\nLocation: /live\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n" + jpegs[0],
        b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + b"\x1f\x8b\x08" + bytes(5000),
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"\x00" * 100_000,
        head + (b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 99999999999999\r\n\r\n" + jpegs[0]),
        head + b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + large + b"\r\n" + parts,
        *(b"HTTP/1.0 200 OK\r\nContent-Type: application/x-mpegURL\r\n\r\n" + playlist for playlist in PLAYLISTS),
    )
    with closing(Liar()) as liar:

        def case(rng: random.Random) -> str:
            answer = rng.choice(lies) if rng.random() < 0.25 else head + damaged(rng, parts)
            answer = damaged(rng, answer) if rng.random() < 0.2 else answer
            slow = rng.random() < 0.03
            liar.answer = lambda connection: _heard(connection, answer, *((0.3, 50) if slow else ()))
            camera = Camera(f"http://127.0.0.1:{liar.port}/live", open_timeout_s=1.0, read_timeout_s=1.0)
            with closing(camera):
                for _ in range(200):
                    if camera.read() is None:
                        return "taken"
            return "taken, much longer than it was"

        yield case


@contextmanager
def receivers(_folder: Path) -> Iterator[Case]:
    """A webhook's receiver lies for a while, and then takes everything: then everything must have arrived."""
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    lies = (
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/1.1 200\r\n" + b"X: y\r\n" * 300,
        b"HTTP/1.1 99999999999999999999 OK\r\n\r\n",
        b"HTTP/1.1 -1 OK\r\n\r\n",
        b"HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 503 \xff\xfe\r\nRetry-After: \xb2\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"A" * 200_000,
        b"\x00\xff" * 5000,
        b"SSH-2.0-OpenSSH\r\n",
    )
    with closing(Liar()) as liar, kept_messages() as messages:

        def case(rng: random.Random) -> str:
            answer = damaged(rng, good) if rng.random() < 0.4 else rng.choice(lies)
            liar.answer = lambda connection: _heard(connection, answer)
            messages.clear()
            webhook = Webhook(WebhookTarget.parse(f"http://127.0.0.1:{liar.port}/"), Outbox(None))
            calls = liar.calls
            webhook.record(event("run", 0, rng.choice(PHASES)))
            _wait(lambda: liar.calls > calls, 5.0, "it was not posted")
            _wait(lambda: webhook._failures > 0 or webhook.waiting == 0, 7.0, "it waits for an answer for ever")
            liar.answer = lambda connection: _heard(connection, good)
            webhook._not_before_s = 0.0  # its patience is tested elsewhere
            webhook._worker.wake()
            began_s = time.monotonic()
            webhook.close()
            if webhook.waiting or time.monotonic() - began_s > 4.0:
                raise BrokenPromiseError(f"{webhook.waiting} messages wait: {messages}")
            if any("going on" in sentence for sentence in messages):
                raise BrokenPromiseError(messages[-1])
            return "delivered" if webhook.delivered else "refused for good"

        yield case


@contextmanager
def brokers(_folder: Path) -> Iterator[Case]:
    """A broker that talks nonsense to the first who comes; the next connection is answered as MQTT says."""
    packets = (
        b"\x20\x02\x00\x00",  # CONNACK
        b"\x90\x03\x00\x01\x01",  # SUBACK
        b"\x40\x02\x00\x01",  # PUBACK of a message that was not sent
        b"\x40\x02\xff\xff",
        b"\x62\x02\x00\x01",
        b"\x50\x02\x00\x01",
        b"\x30\x05\x00\x01ax" + b"y",  # PUBLISH
        b"\x34\x07\x00\x02\xff\xfe\x00\x01x",  # PUBLISH, topic no UTF-8
        b"\x30\x02\x00\x09",  # a topic longer than the packet
        b"\x30\xff\xff\xff\x7f" + bytes(1000),
        b"\xd0\x00",
        b"\xd0\x05hello",
        b"\xe0\x00",
        b"\x10\x00",
        b"\x00\x00",
        b"\xf0\x00",
        b"\x20\xff\xff\xff\xff\xff\xff",
        b"\x40\x00",
        b"\x20\x00",
        b"\x90\x00",
    )
    with closing(Liar()) as liar, kept_messages() as messages:

        def case(rng: random.Random) -> str:
            chosen = b"".join(rng.choice(packets) for _ in range(rng.randrange(1, 6)))
            lie = (packets[0] if rng.random() < 0.6 else b"") + (damaged(rng, chosen) if rng.random() < 0.5 else chosen)
            first = liar.calls

            def answer(connection: socket.socket) -> None:
                if liar.calls == first + 1:
                    _heard(connection, lie)
                else:
                    _good_broker(connection)

            liar.answer = answer
            messages.clear()
            broker = Broker.parse(f"mqtt://127.0.0.1:{liar.port}/ward")
            mqtt = Mqtt(broker, "room", ["falling"], Outbox(None))
            try:
                mqtt.record(event("run", 0, "start"))
                mqtt.record(event("run", 0, "end"))
                _wait(lambda: mqtt.waiting == 0, 20.0, "nothing is delivered any more", messages)
                mqtt.record(End("room", "stopped", 0, WindowCounts()))
            finally:
                began_s = time.monotonic()
                mqtt.close()
            if time.monotonic() - began_s > 5.0:
                raise BrokenPromiseError(f"closing took {time.monotonic() - began_s:.1f} s")
            if any("going on" in sentence for sentence in messages):
                raise BrokenPromiseError(messages[-1])
            return "delivered"

        yield case


def _good_broker(connection: socket.socket) -> None:
    """Enough of MQTT 3.1.1 to take messages: CONNACK, PUBACK, PINGRESP."""
    stream = connection.makefile("rb")
    while head := stream.read(1):
        size, shift = 0, 0
        while True:
            byte = stream.read(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body, kind = stream.read(size), head[0] >> 4
        if kind == 1:
            connection.sendall(b"\x20\x02\x00\x00")
        elif kind == 3 and head[0] & 6:
            (topic_bytes,) = struct.unpack(">H", body[:2])
            connection.sendall(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
        elif kind == 12:
            connection.sendall(b"\xd0\x00")


def _wait(until: Callable[[], bool], timeout_s: float, why: str, messages: list[str] | None = None) -> None:
    until_s = time.monotonic() + timeout_s
    while not until():
        if time.monotonic() > until_s:
            raise BrokenPromiseError(f"{why} {messages or ''}")
        time.sleep(0.002)
