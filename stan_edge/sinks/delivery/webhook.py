"""Webhook: every phase of every event is POSTed as JSON, signed, until the receiver has taken it.

Headers and signature are those of https://www.standardwebhooks.com: any of its libraries verifies a request, and so
does

    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    hmac.compare_digest(expected, headers["webhook-signature"])    # and the timestamp is not older than 5 minutes
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import random
import re
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from urllib.parse import quote, unquote

from stan_edge.errors import ConfigError
from stan_edge.records import Event, Record
from stan_edge.sinks.delivery.address import split_url
from stan_edge.sinks.delivery.message import Message
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker

_logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
ANSWER_S = 15.0
"""The whole answer must be there within this: one that comes letter by letter, or never gets beyond `100 Continue`,
would hold up the messages behind it for ever."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
REFUSED = (400, 409, 413, 415, 422)
"""Answers that no repetition will change. All others but 2xx are tried again: a receiver can be repaired."""
SECRET_PREFIX = "whsec_"
SAFE = "/%:=&~+!$,;'@()*[]"
"""Of a path; a query may hold question marks, too."""


@dataclass(frozen=True)
class WebhookTarget:
    """Where to POST; prints without path, query and secret, because they let anybody in."""

    host: str
    port: int | None
    tls: bool
    path: str = field(repr=False)
    """With the query."""
    authorization: str | None = field(repr=False)
    secret: bytes | None = field(repr=False)

    @classmethod
    def parse(cls, url: str, secret: str | None = None) -> WebhookTarget:
        """Read `https://host/path`; a user and password in it become basic authentication.

        Args:
            secret: signs the requests; `whsec_` and base64, or any text.

        Raises:
            ConfigError: it is no such address or secret; the sentence repeats neither.
        """
        try:
            parts, host = split_url(url, ("http", "https"))
            user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
            path = quote(parts.path or "/", safe=SAFE)
            if parts.query:
                path += "?" + quote(parts.query, safe=SAFE + "?")
        except ValueError:
            raise ConfigError(
                "This is not an address; write it like https://host:8443/path.", field="webhook.url"
            ) from None
        basic = None if user == b":" else f"Basic {base64.b64encode(user).decode()}"
        return cls(host, parts.port, parts.scheme == "https", path, basic, None if secret is None else _key(secret))

    def headers(self, message: Message, now_s: float) -> dict[str, str]:
        """Of the request that brings this message at this time (seconds since 1970)."""
        timestamp = str(int(now_s))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"stan-edge/{version('stan-edge')}",
            "webhook-id": message.key,
            "webhook-timestamp": timestamp,
        }
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        if self.secret is not None:
            signed = f"{message.key}.{timestamp}.".encode() + message.body
            digest = hmac.new(self.secret, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers


class Webhook(DeliveryWorker):
    """POSTs one message after the other; waits, jittered and longer each time, while the receiver does not take it."""

    def __init__(self, target: WebhookTarget, outbox: Outbox) -> None:
        self._target = target
        self._tls = ssl.create_default_context() if target.tls else None
        self._failures = 0
        self._not_before_s = 0.0
        super().__init__("webhook", outbox)

    def record(self, record: Record) -> None:
        if isinstance(record, Event):
            super().record(record)

    def work(self) -> float | None:
        message = self._outbox.first()
        if message is None:
            return None
        early_s = self._not_before_s - time.monotonic()
        if early_s > 0:
            return early_s
        try:
            status, retry_after_s = self._post(message)
        except (OSError, HTTPException) as error:
            return self._failed(str(error) or type(error).__name__, None)
        if status in REFUSED:
            self._refused += 1
            self._worker.complain(f"{self._target.host} refuses a message for good (HTTP {status}); it is lost.")
        elif not 200 <= status < 300:
            return self._failed(f"HTTP {status}", retry_after_s)
        else:
            self.delivered += 1
        if self._failures:
            host, more = self._target.host, len(self._outbox) - 1
            _logger.info("webhook: %s answers again, %d more messages go out.", host, more)
        self._failures = 0
        self._outbox.remove_first()
        return 0.0

    def idle(self) -> bool:
        return not self._outbox or self._failures > 0

    def _post(self, message: Message) -> tuple[int, float | None]:
        """Status of the answer, and for how many seconds it asks us to stay away."""
        target = self._target
        connection = (
            HTTPSConnection(target.host, target.port, timeout=TIMEOUT_S, context=self._tls)
            if target.tls
            else HTTPConnection(target.host, target.port, timeout=TIMEOUT_S)
        )
        with closing(connection):
            connection.connect()
            deadline = threading.Timer(ANSWER_S, _hang_up, [connection.sock])
            deadline.daemon = True
            deadline.start()
            try:
                connection.request("POST", target.path, message.body, target.headers(message, time.time()))
                answer = connection.getresponse()
            finally:
                deadline.cancel()
            wait = answer.headers.get("Retry-After", "")
            return answer.status, float(wait) if re.fullmatch(r"\d{1,9}", wait) else None

    def _failed(self, why: str, retry_after_s: float | None) -> float:
        if self._failures == 0:
            host = self._target.host
            _logger.warning("webhook: %s does not take messages (%s); they wait, it is tried again.", host, why)
        backoff_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)
        wait_s = backoff_s if retry_after_s is None else min(max(retry_after_s, backoff_s), LONGEST_RETRY_S)
        self._failures += 1
        self._not_before_s = time.monotonic() + wait_s
        return wait_s


def _hang_up(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _key(secret: str) -> bytes:
    try:
        encoded = secret.startswith(SECRET_PREFIX)
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX) + "==") if encoded else secret.encode()
    except ValueError:
        key = b""
    if not key:
        raise ConfigError(
            "The secret is empty or not base64 after whsec_; give another one.", field="webhook.secret_file"
        )
    return key
