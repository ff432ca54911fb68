"""The MQTT sink against a real Mosquitto."""

from __future__ import annotations

import gc
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.faults.mosquitto import Listener, Mosquitto, free_port
from stan_edge.errors import ConfigError
from stan_edge.records import End, Record, Status, WindowCounts
from stan_edge.sinks import mqtt
from stan_edge.sinks.broker import DEFAULT_PREFIX, Broker, topic_name
from stan_edge.sinks.home_assistant import discovery
from stan_edge.sinks.mqtt import Mqtt
from stan_edge.sinks.outbox import Outbox
from tests.stan_edge.sinks.conftest import CAMERA, START, a_window, an_event

ALARMS = ("falling", "chest_pain")
Open = Callable[..., Mqtt]


@pytest.fixture
def open_mqtt(said: list[str]) -> Iterator[Open]:
    opened: list[Mqtt] = []

    def start(broker: Broker | int, outbox: Path | None = None, **options: Any) -> Mqtt:
        if isinstance(broker, int):
            broker = Broker.parse(f"mqtt://127.0.0.1:{broker}/ward")
        opened.append(Mqtt(broker, CAMERA, ALARMS, Outbox(outbox, said.append), say=said.append, **options))
        return opened[-1]

    yield start
    for sink in opened:
        sink.close()


def tell(sink: Mqtt, *records: Record) -> None:
    for record in records:
        sink.record(record)


def whole_event(number: int, run: str = "run") -> list[Record]:
    return [an_event(number, phase, run=run) for phase in ("start", "update", "end")]


def ids(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["id"], event["sequence"]) for event in events]


def test_every_phase_of_an_event_arrives_with_ids(mosquitto: Mosquitto, listener: Listener, open_mqtt: Open) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, *whole_event(0), *whole_event(1))
    listener.wait(lambda: len(listener.of("/event")) == 6)
    assert {topic for topic, *_ in listener.messages if topic.endswith("/event")} == {"ward/camera_0/event"}
    first = listener.of("/event")[0]
    assert first.pop("at").endswith("+00:00")
    assert first == an_event(0).to_json() | {"id": "run-0", "sequence": 0}
    assert ids(listener.of("/event")) == [(f"run-{event}", phase) for event in (0, 1) for phase in (0, 1, 2)]
    assert [event["phase"] for event in listener.of("/event")] == ["start", "update", "end"] * 2
    assert not any(retained for topic, _, retained in listener.messages if topic.endswith("/event"))


def test_events_of_an_outage_arrive_in_order_and_a_consumer_can_tell_repetitions(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open, said: list[str]
) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, *whole_event(0))
    listener.wait(lambda: len(listener.of("/event")) == 3)
    mosquitto.stop()
    for number in range(1, 40):
        tell(sink, *whole_event(number))
    listener.wait(lambda: sink.waiting == 117)
    mosquitto.start()
    listener.wait(lambda: len(set(ids(listener.of("/event")))) == 120, 30)
    in_order = list(dict.fromkeys(ids(listener.of("/event"))))
    assert in_order == [(f"run-{event}", phase) for event in range(40) for phase in range(3)]
    listener.wait(lambda: sink.waiting == 0)
    assert (sink.delivered, sink.lost) == (120, 0)
    assert [sentence.split("(")[0] for sentence in said] == [
        f"mqtt: the broker 127.0.0.1:{mosquitto.port} has been lost ",
        "mqtt: connected to 127.0.0.1 again, 117 messages go out.",
    ]


def test_with_an_outbox_on_disk_events_outlast_a_restart(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open, said: list[str], tmp_path: Path
) -> None:
    mosquitto.stop()
    sink = open_mqtt(mosquitto.port, tmp_path / "outbox" / "mqtt.sqlite")
    tell(sink, START, *whole_event(0, run="before"))
    sink.close()
    assert said[-1] == "mqtt: 3 messages have not been delivered; they go out at the next start."
    mosquitto.start()
    sink = open_mqtt(mosquitto.port, tmp_path / "outbox" / "mqtt.sqlite")
    tell(sink, START, an_event(0, run="after"))
    listener.wait(lambda: len(listener.of("/event")) >= 4)
    sink.close()
    assert ids(listener.of("/event")) == [("before-0", 0), ("before-0", 1), ("before-0", 2), ("after-0", 0)]
    assert len(Outbox(tmp_path / "outbox" / "mqtt.sqlite", said.append)) == 0


def test_without_one_what_is_lost_is_said(open_mqtt: Open, said: list[str]) -> None:
    sink = open_mqtt(free_port())
    tell(sink, START, an_event(0))
    began_s = time.monotonic()
    sink.close()
    assert time.monotonic() - began_s < 4.5
    assert "cannot be reached" in said[0]
    assert said[-1] == "mqtt: 1 messages have not been delivered; they are lost; --outbox DIR keeps them."


def test_a_broker_that_never_answers_holds_up_nobody(open_mqtt: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = open_mqtt(silent.getsockname()[1])
        tell(sink, START)
        began_s = time.monotonic()
        for number in range(300):
            tell(sink, a_window(number), an_event(number))
        assert time.monotonic() - began_s < 1.0
        began_s = time.monotonic()
        sink.close()
        assert time.monotonic() - began_s < 4.5


def test_who_comes_late_still_learns_what_is_the_case(mosquitto: Mosquitto, open_mqtt: Open) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, a_window(0, "falling"), an_event(0))
    deadline_s = time.monotonic() + 15
    while not sink.delivered and time.monotonic() < deadline_s:
        time.sleep(0.01)
    late = Listener(mosquitto.port)
    late.wait(lambda: late.of("/state") and late.texts("/availability"))
    (state,) = late.of("/state")
    assert state.pop("at").endswith("+00:00")
    assert state == {
        "camera": CAMERA,
        "model": "tiny",
        "valid": True,
        "reason": None,
        "label": "falling",
        "probability": 0.93,
        "person": "tracked",
        "alarms": {"falling": "ON", "chest_pain": "OFF"},
        "ended": None,
    }
    assert late.texts("/availability") == ["online"]
    assert all(retained for _, _, retained in late.messages)
    tell(sink, an_event(0, "end"), End(CAMERA, "stopped", 10, WindowCounts()))
    sink.close()
    late.wait(lambda: late.texts("/availability")[-1] == "offline")
    assert late.of("/state")[-1]["alarms"] == {"falling": "OFF", "chest_pain": "OFF"}
    assert late.of("/state")[-1]["ended"] == "stopped"
    late.close()


def test_an_alarm_that_ends_during_an_outage_is_not_left_on(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open
) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, an_event(0))
    listener.wait(lambda: listener.of("/state") and listener.of("/state")[-1]["alarms"]["falling"] == "ON")
    mosquitto.stop()
    tell(sink, an_event(0, "end"))
    mosquitto.start()
    listener.wait(lambda: listener.of("/state")[-1]["alarms"]["falling"] == "OFF", 30)
    late = Listener(mosquitto.port, "ward/camera_0/state")
    late.wait(lambda: late.of("/state"))
    assert late.of("/state")[0]["alarms"]["falling"] == "OFF"
    late.close()


def test_windows_are_published_when_asked_for_and_no_more_often(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open
) -> None:
    plain, chatty = open_mqtt(mosquitto.port), open_mqtt(mosquitto.port, window_every_s=0.5)
    for sink in (plain, chatty):
        tell(sink, START, an_event(0))
    listener.wait(lambda: len(listener.of("/event")) == 2)
    began_s = time.monotonic()
    for number in range(60):
        tell(chatty, a_window(number))
        tell(plain, a_window(number))
        time.sleep(0.02)
    took_s = time.monotonic() - began_s
    tell(chatty, an_event(1))
    listener.wait(lambda: len(listener.of("/event")) == 3)
    assert 2 <= len(listener.of("/window")) <= took_s / 0.5 + 1
    assert listener.of("/window")[0].items() >= a_window(0).to_json().items()
    assert len(listener.of("/state")) <= 2 * (3 + took_s)  # windows that say the same change no state


def test_home_assistant_finds_a_sensor_for_each_alarm(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open
) -> None:
    sink = open_mqtt(mosquitto.port, home_assistant=True)
    tell(sink, START, an_event(0))
    listener.wait(lambda: len(listener.of("/config")) == 2 and len(listener.of("/event")) == 1)
    topics = [topic for topic, *_ in listener.messages if topic.startswith("homeassistant/")]
    assert topics == [f"homeassistant/binary_sensor/ward_camera_0/{label}/config" for label in ALARMS]
    falling, chest_pain = listener.of("/config")
    assert falling["unique_id"] != chest_pain["unique_id"]
    assert falling["device"] == chest_pain["device"]
    published = {topic for topic, *_ in listener.messages}
    assert {falling["state_topic"], falling["availability_topic"]} <= published
    listener.wait(lambda: listener.of("/state")[-1]["alarms"]["falling"] == "ON")
    state = listener.of("/state")[-1]
    templates = [jinja2.Template(config["value_template"]) for config in (falling, chest_pain)]
    assert [template.render(value_json=state) for template in templates] == ["ON", "OFF"]


DOCUMENTED = {
    "name",
    "unique_id",
    "state_topic",
    "value_template",
    "payload_on",
    "payload_off",
    "device_class",
    "expire_after",
    "availability_topic",
    "payload_available",
    "payload_not_available",
    "device",
    "origin",
}
"""Of https://www.home-assistant.io/integrations/binary_sensor.mqtt/ and of discovery; a subset that we use."""


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_whatever_classes_are_called_home_assistant_can_read_them(labels: list[str]) -> None:
    found = discovery("ward", "ward/camera_0", START, labels)
    for (topic, config), label in zip(found, labels, strict=True):
        assert re.fullmatch(r"homeassistant/binary_sensor/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/config", topic)
        assert set(config) == DOCUMENTED
        state = {"alarms": {other: "ON" if other == label else "OFF" for other in labels}}
        assert jinja2.Template(config["value_template"]).render(value_json=state) == "ON"


def test_a_wrong_password_is_said_once_and_never_repeated(
    broker_at: Callable[..., Mosquitto], open_mqtt: Open, said: list[str], tmp_path: Path
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
    until_s = time.monotonic() + 15
    while (right.waiting or escaped.waiting or not said) and time.monotonic() < until_s:
        time.sleep(0.02)
    time.sleep(2.5)  # it is tried again meanwhile
    assert (right.delivered, escaped.delivered, wrong.delivered, wrong.waiting) == (1, 1, 0, 1)
    assert len(said) == 1
    assert "refuses this client (Not authorized); check user and password" in said[0]
    wrong.close()
    assert "hunter2" not in " ".join(said)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_takes_the_authority_that_was_given_and_no_other(
    broker_at: Callable[..., Mosquitto], open_mqtt: Open, said: list[str], tmp_path: Path
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
    until_s = time.monotonic() + 15
    while (trusting.waiting or not said) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert (trusting.delivered, wary.delivered) == (1, 0)
    assert len(said) == 1
    assert "certificate verify failed" in said[0]
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
    with pytest.raises(ConfigError, match="--mqtt") as refused:
        Broker.parse(url)
    assert "hunter2" not in str(refused.value)


def test_a_file_of_authorities_must_be_one_and_be_of_use(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for url, ca, says in (
        ("mqtts://broker", tmp_path / "ca.pem", "cannot be used"),
        ("mqtts://broker", tmp_path / "none.pem", "cannot be used"),
        ("mqtt://broker", tmp_path / "ca.pem", "mqtts://"),
    ):
        with pytest.raises(ConfigError, match=f"--mqtt-ca.*{says}"):
            Broker.parse(url, ca=ca)


@given(st.text(), st.text(), st.text(), st.text(), st.none() | st.text())
@example("a", "b", "host:1883", "ward", None)
def test_any_text_is_an_address_or_a_sentence(user: str, word: str, host: str, path: str, password: str | None) -> None:
    for url in (user, f"mqtt://{host}/{path}", f"mqtt://{user}:{word}@{host}/{path}"):
        try:
            broker = Broker.parse(url, password)
        except ConfigError as error:
            assert str(error).startswith("--mqtt")
            assert "\n" not in str(error)
        else:
            assert not set(broker.prefix) & set("+#$\0")
            assert broker.host
            assert 0 < broker.port < 65536


@given(st.lists(st.text(st.characters(min_codepoint=128)), min_size=2, max_size=2, unique=True), st.text())
def test_any_camera_has_a_topic_of_its_own(foreign: list[str], anything: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", topic_name(anything))
    assert topic_name(foreign[0]) != topic_name(foreign[1])
    assert topic_name("film.mp4") == "film_mp4"
    assert len(topic_name("x" * 5000)) < 100


def test_what_an_outage_leaves_behind_is_valid_json(mosquitto: Mosquitto, listener: Listener, open_mqtt: Open) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, a_window(0, None, "gap"), an_event(0, label="fällt"))
    listener.wait(lambda: listener.of("/event") and listener.of("/state"))
    assert listener.of("/event")[0]["label"] == "fällt"
    sink.close()
    for topic, payload, _ in listener.messages:
        if not topic.endswith("/availability"):
            json.loads(payload)
    assert [state["reason"] for state in listener.of("/state")][-1] == "gap"


def test_a_camera_that_is_lost_is_not_available_until_it_is_back(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "STATE_EVERY_S", 0.0)
    sink = open_mqtt(mosquitto.port)
    listener.wait(lambda: listener.texts("/availability") == ["online"])
    tell(sink, START, a_window(0, "falling"))
    listener.wait(lambda: listener.of("/state") and listener.of("/state")[-1]["label"] == "falling")
    tell(sink, Status(CAMERA, "lost", "room does not answer.", 0, 12.5))
    listener.wait(lambda: listener.texts("/availability") == ["online", "offline"])
    listener.wait(lambda: listener.of("/state")[-1]["reason"] == "lost")
    assert listener.of("/state")[-1].items() >= {"valid": False, "label": None, "probability": None}.items()
    tell(sink, Status(CAMERA, "online", None, 3, 20.0))
    listener.wait(lambda: listener.texts("/availability") == ["online", "offline", "online"])
