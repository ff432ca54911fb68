"""Every event arrives, in order, whatever befalls the broker: MQTT against a real Mosquitto."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from bench.faults.mosquitto import Listener, Mosquitto, free_port
from stan_edge.records import Record
from stan_edge.sinks.delivery.outbox import Outbox
from tests.stan_edge.sinks.conftest import START, OpenMqtt, a_window, an_event, tell


def whole_event(number: int, run: str = "run") -> list[Record]:
    return [an_event(number, phase, run=run) for phase in ("start", "update", "end")]


def ids(events: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["id"], event["sequence"]) for event in events]


def test_every_phase_of_an_event_arrives_with_ids(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt
) -> None:
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
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt, caplog: pytest.LogCaptureFixture
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
    assert [sentence.split("(")[0] for sentence in caplog.messages] == [
        f"mqtt: the broker 127.0.0.1:{mosquitto.port} has been lost ",
        "mqtt: connected to 127.0.0.1 again, 117 messages go out.",
    ]


def test_with_an_outbox_on_disk_events_outlast_a_restart(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    mosquitto.stop()
    sink = open_mqtt(mosquitto.port, tmp_path / "outbox" / "mqtt.sqlite")
    tell(sink, START, *whole_event(0, run="before"))
    sink.close()
    assert caplog.messages[-1] == "mqtt: 3 messages have not been delivered; they go out at the next start."
    mosquitto.start()
    sink = open_mqtt(mosquitto.port, tmp_path / "outbox" / "mqtt.sqlite")
    tell(sink, START, an_event(0, run="after"))
    listener.wait(lambda: len(listener.of("/event")) >= 4)
    sink.close()
    assert ids(listener.of("/event")) == [("before-0", 0), ("before-0", 1), ("before-0", 2), ("after-0", 0)]
    assert len(Outbox(tmp_path / "outbox" / "mqtt.sqlite")) == 0


def test_without_one_what_is_lost_is_said(open_mqtt: OpenMqtt, caplog: pytest.LogCaptureFixture) -> None:
    sink = open_mqtt(free_port())
    tell(sink, START, an_event(0))
    began_s = time.monotonic()
    sink.close()
    assert time.monotonic() - began_s < 4.5
    assert "cannot be reached" in caplog.messages[0]
    assert caplog.messages[-1] == "mqtt: 1 messages have not been delivered; they are lost; --outbox DIR keeps them."


def test_a_broker_that_never_answers_holds_up_nobody(open_mqtt: OpenMqtt) -> None:
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
