"""`/metrics`, `/health/live` and `/health/ready` over HTTP."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stan_edge.errors import ConfigError
from stan_edge.sinks.health import Health, live, ready

DEFAULT_HOST = "127.0.0.1"
PATIENCE_S = 5.0
"""A client that says nothing for this long is hung up on."""
REQUEST_S = 10.0
"""All that a client gets, from coming to going: a letter every four seconds is never silent for long."""
MOST_CLIENTS = 16
"""At once; more are hung up on, so that they cost no memory and no thread."""

HEALTH = {"/health/live": live, "/health/ready": ready}


@dataclass(frozen=True)
class ListenAddress:
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read `HOST:PORT`, `[IPV6]:PORT`, or `PORT` for this machine only.

        Raises:
            ConfigError: it is neither.
        """
        match = re.fullmatch(r"(?:(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):)?([0-9]{1,5})", text)
        if match is None or not 0 < int(match[3]) < 65536:
            raise ConfigError(
                f"{text!r} is no address; write HOST:PORT, for example 127.0.0.1:9464.", field="http.listen"
            )
        return cls(match[1] or match[2] or DEFAULT_HOST, int(match[3]))


class HttpServer(ThreadingHTTPServer):
    """Answers for all cameras, in threads of its own, until it is closed.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CLIENTS

    def __init__(self, at: ListenAddress, health: Sequence[Health], registry: CollectorRegistry) -> None:
        self.health = health
        self.registry = registry
        self.address_family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)
        self._until_s: dict[socket.socket, float] = {}
        try:
            super().__init__((at.host, at.port), _Handler)
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"{at.host}:{at.port} cannot be listened on ({error}); choose another address.", field="http.listen"
            ) from error
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would ask the network for a name

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._clients.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._until_s[request] = time.monotonic() + REQUEST_S
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._until_s[request]
            self._clients.release()

    def service_actions(self) -> None:
        """Several times a second, in the server's thread: whose time is up is hung up on."""
        for client, until_s in list(self._until_s.items()):
            if time.monotonic() >= until_s:
                with suppress(OSError):  # it has gone by itself
                    client.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Not logged: whoever hangs up in the middle is no concern of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    timeout = PATIENCE_S
    server_version = "stan-edge"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.server.registry), content_type)
        elif verdict := HEALTH.get(path):
            good, body = verdict(self.server.health)
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, json.dumps(body).encode() + b"\n", "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"/metrics, /health/live, /health/ready\n", "text/plain; charset=utf-8")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """A line for each scrape would fill the log."""

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
