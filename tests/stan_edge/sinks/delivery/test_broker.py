"""Where the broker is and who may talk to it: addresses, passwords, certificates."""

from __future__ import annotations

import gc
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.faults.mosquitto import Mosquitto
from stan_edge.errors import ConfigError
from stan_edge.sinks.delivery.broker import DEFAULT_PREFIX, Broker
from tests.conftest import wait_until
from tests.stan_edge.sinks.conftest import START, OpenMqtt, an_event, tell


def test_a_wrong_password_is_said_once_and_never_repeated(
    broker_at: Callable[..., Mosquitto], open_mqtt: OpenMqtt, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-b", "-c", users, "anna", "r!ght/@"], check=True, capture_output=True)
    mosquitto = broker_at(f"password_file {users}", anonymous=False)
    wrong = open_mqtt(Broker.parse(f"mqtt://anna:hunter2@127.0.0.1:{mosquitto.port}/ward"))
    right = open_mqtt(Broker.parse(f"mqtt://anna@127.0.0.1:{mosquitto.port}/ward", "r!ght/@"))
    escaped = open_mqtt(Broker.parse(f"mqtt://anna:r!ght%2F%40@127.0.0.1:{mosquitto.port}/ward"))
    for sink in (wrong, right, escaped):
        tell(sink, START, an_event(0))
    wait_until(lambda: not right.waiting and not escaped.waiting and caplog.messages)
    time.sleep(2.5)  # it is tried again meanwhile
    assert (right.delivered, escaped.delivered, wrong.delivered, wrong.waiting) == (1, 1, 0, 1)
    assert len(caplog.messages) == 1
    assert "refuses this client (Not authorized); check user and password" in caplog.messages[0]
    wrong.close()
    assert "hunter2" not in " ".join(caplog.messages)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_takes_the_authority_that_was_given_and_no_other(
    broker_at: Callable[..., Mosquitto], open_mqtt: OpenMqtt, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    ca, other = make_authority(tmp_path / "ca"), make_authority(tmp_path / "other")
    key, certificate = make_certificate(ca)
    mosquitto = broker_at(f"certfile {certificate}", f"keyfile {key}")
    address = f"mqtts://localhost:{mosquitto.port}/ward"
    trusting = open_mqtt(Broker.parse(address, ca=ca / "ca.pem"))
    wary = open_mqtt(Broker.parse(address, ca=other / "ca.pem"))
    for sink in (trusting, wary):
        tell(sink, START, an_event(0))
    wait_until(lambda: not trusting.waiting and caplog.messages)
    assert (trusting.delivered, wary.delivered) == (1, 0)
    assert len(caplog.messages) == 1
    assert "certificate verify failed" in caplog.messages[0]
    wary.close()
    time.sleep(1.2)
    gc.collect()  # paho leaves the socket of a failed handshake to the garbage collector


def make_authority(folder: Path) -> Path:
    folder.mkdir()
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca")
    return folder


def make_certificate(ca: Path) -> tuple[Path, Path]:
    (ca / "names").write_text("subjectAltName=DNS:localhost")
    _openssl(ca, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost")
    _openssl(ca, "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -extfile names")
    return ca / "server.key", ca / "server.pem"


def _openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def test_an_address_says_all_there_is_to_know() -> None:
    broker = Broker.parse("mqtt://anna:p%40ss@Broker.local:1884/ward/3/")
    assert (broker.host, broker.port, broker.prefix) == ("broker.local", 1884, "ward/3")
    assert (broker.user, broker.password, broker.tls) == ("anna", "p@ss", None)
    assert "p@ss" not in repr(broker)
    plain = Broker.parse("mqtt://broker")
    assert (plain.port, plain.prefix, plain.user, plain.password) == (1883, DEFAULT_PREFIX, None, None)
    secure = Broker.parse("mqtts://[fe80::1]")
    assert (secure.host, secure.port) == ("fe80::1", 8883)
    assert secure.tls is not None
    assert secure.tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://broker:port",
        "mqtt://broker:0",
        "mqtt://broker:70000",
        "mqtt://bro ker",
        "mqtt://a..b",
        "mqtt://" + "a" * 64,
        "mqtt://:hunter2@broker",
        "mqtt://anna:hunter2",
        "mqtt://anna:12/hunter2@broker/ward",
        "mqtt://anna:hunter2#3@broker",
        "mqtt://anna:hunter2?@broker",
        "mqtt://broker/ward/#",
        "mqtt://broker/%2B/x",
        "mqtt://broker/$SYS",
        "mqtt://broker/a%00b",
        "mqtt://broker/" + "a" * 201,
        "mqtt://[::1",
        "mqtt://anna:hunter2\udcff@broker",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="mqtt://") as refused:
        Broker.parse(url)
    assert "hunter2" not in str(refused.value)


def test_a_file_of_authorities_must_be_one_and_be_of_use(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for url, ca, says in (
        ("mqtts://broker", tmp_path / "ca.pem", "cannot be used"),
        ("mqtts://broker", tmp_path / "none.pem", "cannot be used"),
        ("mqtt://broker", tmp_path / "ca.pem", "mqtts://"),
    ):
        with pytest.raises(ConfigError, match=says):
            Broker.parse(url, ca=ca)


@given(st.text(), st.text(), st.text(), st.text(), st.none() | st.text())
@example("a", "b", "host:1883", "ward", None)
def test_any_text_is_an_address_or_a_sentence(user: str, word: str, host: str, path: str, password: str | None) -> None:
    for url in (user, f"mqtt://{host}/{path}", f"mqtt://{user}:{word}@{host}/{path}"):
        try:
            broker = Broker.parse(url, password)
        except ConfigError as error:
            assert error.field == "mqtt.url"
            assert "\n" not in str(error)
        else:
            assert not set(broker.prefix) & set("+#$\0")
            assert broker.host
            assert 0 < broker.port < 65536
