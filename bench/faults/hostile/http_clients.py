"""Clients of the HTTP server that send anything."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.mutate import damaged
from bench.faults.mosquitto import free_port
from stan_edge.sinks.health import Health
from stan_edge.sinks.http import HttpServer, ListenAddress


@contextmanager
def requests(_folder: Path) -> Iterator[Case]:
    """Whatever a client does, the next one is answered."""
    port, health = free_port(), Health()
    server = HttpServer(ListenAddress("127.0.0.1", port), [health], CollectorRegistry())
    good = b"GET /health/live HTTP/1.1\r\nHost: room\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    lies = (
        b"GET /metrics HTTP/1.1\r\nAccept: " + b"a;q=" * 5000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=9;escaping=\xff\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.0\r\n\r\n",
        b"GET http://other/ HTTP/1.0\r\n\r\n",
        b"GET /\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"HEAD /health/ready HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
        b"\r\n" * 1000,
    )
    with closing(server):

        def case(rng: random.Random) -> str:
            request = rng.choice(lies) if rng.random() < 0.3 else damaged(rng, good)
            with socket.create_connection(("127.0.0.1", port), timeout=3.0) as client, suppress(OSError):
                client.sendall(request)
                if rng.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1 << 16)
            if json.loads(_get(port, good))["ok"] is not True:
                raise BrokenPromiseError("it says that the loop hangs")
            return "taken"

        yield case


def _get(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=3.0) as client:
        client.sendall(request)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise BrokenPromiseError(f"a good request is answered {head[:80]!r}")
    return body
