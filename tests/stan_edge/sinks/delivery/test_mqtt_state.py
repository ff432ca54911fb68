"""What is the case now: retained topics and windows, against a real Mosquitto."""

from __future__ import annotations

import json
import time

import pytest

from bench.faults.mosquitto import Listener, Mosquitto
from stan_edge.records import End, Load, Status, WindowCounts
from stan_edge.sinks.delivery import mqtt
from tests.conftest import wait_until
from tests.stan_edge.sinks.conftest import CAMERA, START, OpenMqtt, a_window, an_event, tell


def test_who_comes_late_still_learns_what_is_the_case(mosquitto: Mosquitto, open_mqtt: OpenMqtt) -> None:
    sink = open_mqtt(mosquitto.port)
    tell(sink, START, a_window(0, "falling"), an_event(0))
    wait_until(lambda: sink.delivered)
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
        "load": "full",
        "ended": None,
    }
    assert late.texts("/availability") == ["online"]
    assert all(retained for _, _, retained in late.messages)
    tell(sink, Load(CAMERA, "labels_only", None, "windows were late for 1 s", 12.0))
    late.wait(lambda: late.of("/state")[-1]["load"] == "labels_only")
    tell(sink, an_event(0, "end"), End(CAMERA, "stopped", 10, WindowCounts()))
    sink.close()
    late.wait(lambda: late.texts("/availability")[-1] == "offline")
    assert late.of("/state")[-1]["alarms"] == {"falling": "OFF", "chest_pain": "OFF"}
    assert late.of("/state")[-1]["ended"] == "stopped"
    late.close()


def test_an_alarm_that_ends_during_an_outage_is_not_left_on(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt
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
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt
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


def test_what_an_outage_leaves_behind_is_valid_json(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt
) -> None:
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
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt, monkeypatch: pytest.MonkeyPatch
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
