"""The webhook sink against a real HTTP server that fails first."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from bench.faults.mosquitto import free_port
from stan_edge.errors import ConfigError
from stan_edge.sinks.delivery import webhook
from stan_edge.sinks.delivery.message import Message
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.webhook import Webhook, WebhookTarget
from tests.conftest import wait_until
from tests.stan_edge.sinks.conftest import START, Receiver, a_window, an_event, tell

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Webhook]]:
    monkeypatch.setattr(webhook, "FIRST_RETRY_S", 0.05)
    opened: list[Webhook] = []

    def start(url: str, secret: str | None = None, outbox: Path | None = None) -> Webhook:
        opened.append(Webhook(WebhookTarget.parse(url, secret), Outbox(outbox)))
        return opened[-1]

    yield start
    for sink in opened:
        sink.close()


Open = Callable[..., Webhook]


def test_each_phase_is_posted_in_order_and_nothing_else(receiver: Receiver, open_webhook: Open) -> None:
    sink = open_webhook(receiver.url)
    tell(sink, START, a_window(0), an_event(0), an_event(0, "update"), a_window(1), an_event(0, "end"))
    receiver.wait(3)
    sink.close()
    assert [body["phase"] for body in receiver.bodies()] == ["start", "update", "end"]
    path, headers, body, _ = receiver.asked[0]
    assert path == "/hooks/t0ken?room=3"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("stan-edge/")
    assert headers["webhook-id"] == "run-0-0"
    assert "webhook-signature" not in headers
    assert json.loads(body).items() >= (an_event(0).to_json() | {"id": "run-0", "sequence": 0}).items()
    assert (sink.delivered, sink.waiting, sink.lost) == (3, 0, 0)


def test_what_a_receiver_does_not_take_is_repeated_with_its_id_and_in_order(
    receiver: Receiver, open_webhook: Open, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.plan = [500, None, 503, 429, 401, 404, 302]
    sink = open_webhook(receiver.url)
    tell(sink, an_event(0), an_event(0, "end"))
    receiver.wait(9, 30)
    ids = [headers["webhook-id"] for _, headers, _, _ in receiver.asked]
    assert ids == ["run-0-0"] * 8 + ["run-0-1"]
    times_s = [at_s for *_, at_s in receiver.asked]
    waits_s = [after - before for before, after in pairwise(times_s[:7])]
    for number, wait_s in enumerate(waits_s):
        assert wait_s >= 0.05 * 2**number * 0.5
    sink.close()
    assert sink.delivered == 2
    assert caplog.messages == [
        "webhook: 127.0.0.1 does not take messages (HTTP 500); they wait, it is tried again.",
        "webhook: 127.0.0.1 answers again, 1 more messages go out.",
    ]


def test_a_receiver_may_ask_for_patience(receiver: Receiver, open_webhook: Open) -> None:
    receiver.plan = [{"status": 503, "Retry-After": "1"}, {"status": 503, "Retry-After": "soon, I hope"}]
    sink = open_webhook(receiver.url)
    tell(sink, an_event(0))
    receiver.wait(3)
    first_s, second_s, third_s = (at_s for *_, at_s in receiver.asked)
    assert 1.0 <= second_s - first_s < 3.0
    assert third_s - second_s < 1.0
    sink.close()


def test_a_message_that_is_refused_for_good_does_not_hold_up_the_next(
    receiver: Receiver, open_webhook: Open, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.plan = [422]
    sink = open_webhook(receiver.url)
    tell(sink, an_event(0), an_event(1))
    receiver.wait(2)
    sink.close()
    assert [headers["webhook-id"] for _, headers, _, _ in receiver.asked] == ["run-0-0", "run-1-0"]
    assert (sink.delivered, sink.lost) == (1, 1)
    assert caplog.messages == ["webhook: 127.0.0.1 refuses a message for good (HTTP 422); it is lost."]


@pytest.mark.parametrize("secret", [SECRET, "a plain secret, ä"])
def test_an_independent_library_verifies_every_request(receiver: Receiver, open_webhook: Open, secret: str) -> None:
    receiver.plan = [500]
    sink = open_webhook(receiver.url, secret)
    tell(sink, an_event(0, label="fällt"), an_event(0, "end"))
    receiver.wait(3)
    sink.close()
    verifier = standardwebhooks.Webhook(secret if secret == SECRET else secret.encode())
    for _, headers, body, _ in receiver.asked:
        assert verifier.verify(body, dict(headers)) == json.loads(body)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier.verify(body.replace(b"0.97", b"0.17"), dict(headers))
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verifier.verify(body, dict(headers) | {"webhook-id": "run-7-0"})
    stamp = WebhookTarget.parse("http://host", SECRET).headers(Message("run-0-0", b"{}", False), time.time() - 3600)
    with pytest.raises(standardwebhooks.WebhookVerificationError, match="too old"):
        verifier.verify(b"{}", stamp)


def test_user_and_password_become_basic_authentication(receiver: Receiver, open_webhook: Open) -> None:
    sink = open_webhook(receiver.url.replace("//", "//anna:p%40ss@"))
    tell(sink, an_event(0))
    receiver.wait(1)
    assert receiver.asked[0][1]["Authorization"] == "Basic YW5uYTpwQHNz"
    sink.close()


def test_nobody_there_holds_up_nobody_and_no_secret_is_said(
    open_webhook: Open, caplog: pytest.LogCaptureFixture
) -> None:
    sink = open_webhook(f"http://anna:hunter2@127.0.0.1:{free_port()}/t0ken", "s3cret")
    began_s = time.monotonic()
    for number in range(300):
        tell(sink, an_event(number))
    assert time.monotonic() - began_s < 1.0
    while not caplog.messages and time.monotonic() - began_s < 10:
        time.sleep(0.01)
    began_s = time.monotonic()
    sink.close()
    assert time.monotonic() - began_s < 4.5
    lost = "they are lost; --outbox DIR keeps them"
    assert caplog.messages[-1] == f"webhook: 300 messages have not been delivered; {lost}."
    assert not any(word in " ".join(caplog.messages) + repr(sink._target) for word in ("hunter2", "t0ken", "s3cret"))


def test_a_receiver_that_never_answers_is_given_up_on(
    open_webhook: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = open_webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        tell(sink, an_event(0))
        wait_until(lambda: caplog.messages)
    assert "timed out" in caplog.messages[0]
    assert sink.waiting == 1
    sink.close()


def test_an_answer_that_is_no_http_is_a_failure_and_no_crash(
    open_webhook: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        sink = open_webhook(f"http://127.0.0.1:{other.getsockname()[1]}/")
        tell(sink, an_event(0))
        connection, _ = other.accept()
        connection.sendall(b"\x00\xff SSH-2.0 what?\r\n\r\n")
        connection.close()
        wait_until(lambda: caplog.messages)
    assert "does not take messages" in caplog.messages[0]
    assert sink.waiting == 1
    sink.close()


def test_with_an_outbox_on_disk_events_outlast_a_restart(
    receiver: Receiver, open_webhook: Open, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    sink = open_webhook(f"http://127.0.0.1:{free_port()}/", outbox=tmp_path / "webhook.sqlite")
    tell(sink, an_event(0, run="before"), an_event(0, "end", run="before"))
    sink.close()
    assert caplog.messages[-1] == "webhook: 2 messages have not been delivered; they go out at the next start."
    sink = open_webhook(receiver.url, outbox=tmp_path / "webhook.sqlite")
    receiver.wait(2)
    sink.close()
    assert [headers["webhook-id"] for _, headers, _, _ in receiver.asked] == ["before-0-0", "before-0-1"]


@pytest.mark.parametrize(
    "url",
    ["", "host/path", "ftp://host/", "http://", "https://:443/t0ken", "http://host:port/t0ken", "http://ho st/t0ken"],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="not an address") as refused:
        WebhookTarget.parse(url)
    assert refused.value.field == "webhook.url"
    assert "t0ken" not in str(refused.value)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_=", "whsec_a"])
def test_a_secret_that_signs_nothing_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="secret is empty") as refused:
        WebhookTarget.parse("http://host/", secret)
    assert refused.value.field == "webhook.secret_file"


@given(st.text(), st.text(), st.text())
def test_any_text_is_an_address_that_can_be_asked_or_a_sentence(host: str, path: str, secret: str) -> None:
    for url in (host, f"http://{host}/{path}", f"https://{host}@host/?{path}", f"http://127.0.0.1:1/{path}"):
        try:
            target = WebhookTarget.parse(url, secret)
        except ConfigError as error:
            assert error.field in ("webhook.url", "webhook.secret_file")
        else:
            assert target.path.isascii()
            assert target.path.isprintable()
            assert " " not in target.path
            assert all(value.isprintable() for value in target.headers(Message("k", b"{}", False), 0.0).values())


@pytest.mark.parametrize("letter", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_never_ends_does_not_hold_up_the_messages_for_ever(
    open_webhook: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, letter: bytes
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_S", 0.5)
    calls: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                calls.append(time.monotonic())
                with connection:
                    while True:
                        try:
                            connection.sendall(letter)
                        except OSError:
                            break
                        time.sleep(0.05)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sink = open_webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        tell(sink, an_event(0))
        thread.join(10)
    assert len(calls) == 2
    assert calls[1] - calls[0] < 3
    assert sink.waiting == 1
    assert "does not take messages" in caplog.messages[0]
