"""Home Assistant finds the alarms by itself and can read them."""

from __future__ import annotations

import re

import jinja2
from hypothesis import given
from hypothesis import strategies as st

from bench.faults.mosquitto import Listener, Mosquitto
from stan_edge.sinks.delivery.home_assistant import discovery
from stan_edge.sinks.delivery.mqtt_topics import Topics
from tests.stan_edge.sinks.conftest import ALARMS, START, OpenMqtt, an_event, tell


def test_home_assistant_finds_a_sensor_for_each_alarm(
    mosquitto: Mosquitto, listener: Listener, open_mqtt: OpenMqtt
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
    found = discovery(Topics("ward", "camera 0"), START, labels)
    for (topic, config), label in zip(found, labels, strict=True):
        assert re.fullmatch(r"homeassistant/binary_sensor/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+/config", topic)
        assert set(config) == DOCUMENTED
        state = {"alarms": {other: "ON" if other == label else "OFF" for other in labels}}
        assert jinja2.Template(config["value_template"]).render(value_json=state) == "ON"
