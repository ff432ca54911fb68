"""What Home Assistant needs to show a camera by itself: MQTT discovery of one binary sensor for each alarm class.

Fields: https://www.home-assistant.io/integrations/binary_sensor.mqtt/ and .../mqtt/#mqtt-discovery.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from stan_edge.files import plain_name
from stan_edge.records import Start
from stan_edge.sinks.delivery.mqtt_topics import Topics

DISCOVERY_PREFIX = "homeassistant"
EXPIRE_AFTER_S = 180
"""Without a new state the sensor becomes unavailable; one comes at least every minute while windows do."""


def discovery(topics: Topics, start: Start, alarms: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Topic and configuration of each sensor of a camera."""
    node = plain_name(f"{topics.prefix}_{start.camera}")
    release = version("stan-edge")
    device = {
        "identifiers": [node],
        "name": start.camera,
        "manufacturer": "stan-edge",
        "model": start.model,
        "sw_version": release,
    }
    return [
        (
            f"{DISCOVERY_PREFIX}/binary_sensor/{node}/{plain_name(label)}/config",
            {
                "name": label.replace("_", " ").capitalize(),
                "unique_id": f"{node}_{plain_name(label)}",
                "state_topic": topics.state,
                "value_template": f"{{{{ value_json.alarms[{json.dumps(label, ensure_ascii=False)}] }}}}",
                "payload_on": "ON",
                "payload_off": "OFF",
                "device_class": "safety",
                "expire_after": EXPIRE_AFTER_S,
                "availability_topic": topics.availability,
                "payload_available": "online",
                "payload_not_available": "offline",
                "device": device,
                "origin": {"name": "stan-edge", "sw_version": release},
            },
        )
        for label in alarms
    ]
