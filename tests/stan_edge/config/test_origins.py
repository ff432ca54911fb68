"""One configuration of a file, variables and flags: what wins, and where a value came from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stan_edge.config.origins import Given, load_config
from stan_edge.errors import ConfigError

ROOM = '[camera]\nsource = "a.mp4"\nname = "room"\ncrop = "1,2,3,4"\n[webhook]\nurl = "https://file"\n'
WARD = '[[camera]]\nsource = 0\nname = "door"\n[[camera]]\nsource = 1\nname = "yard"\ncrop = "5,6,7,8"\n'


def write(folder: Path, content: str) -> Path:
    path = folder / "room.toml"
    path.write_text(content)
    return path


def test_the_command_line_wins_over_variables_and_those_over_the_file(tmp_path):
    path = write(tmp_path, ROOM)
    config, origins = load_config(path)
    assert (config.webhook.url, origins.of("webhook.url")) == ("https://file", f"{path}, line 6, webhook.url")
    variables = {"STAN_EDGE_WEBHOOK": "https://variable", "STAN_EDGE_MQTT": ""}  # an empty one says nothing
    config, origins = load_config(path, environment=variables)
    assert (config.webhook.url, origins.of("webhook.url")) == ("https://variable", "STAN_EDGE_WEBHOOK")
    assert config.mqtt.url is None
    config, origins = load_config(path, {"webhook.url": Given("https://flag", "--webhook")}, variables)
    assert (config.webhook.url, origins.of("webhook.url")) == ("https://flag", "--webhook")


def test_what_is_wrong_names_the_flag_or_variable_that_said_it(tmp_path):
    path = write(tmp_path, ROOM + "[model]\nhop_s = 0.4\n")
    with pytest.raises(ConfigError, match=r"^--hop: must be greater than 0; change it\.$"):
        load_config(path, {"model.hop_s": Given(0.0, "--hop")})
    with pytest.raises(ConfigError, match=r"^STAN_EDGE_MQTT: holds a control character"):
        load_config(path, environment={"STAN_EDGE_MQTT": "mqtt://geheim\n"})
    with pytest.raises(ConfigError, match=r"^--mqtt-ca: there is no broker"):
        load_config(path, {"mqtt.ca": Given(Path("ca.pem"), "--mqtt-ca")})


def test_a_camera_of_the_command_line_replaces_that_of_the_file_but_not_how_it_is_looked_at(tmp_path):
    path = write(tmp_path, ROOM)
    given = {
        "cameras.source": Given(["3", "b.mp4"], "--camera"),
        "cameras.source_file": Given([Path("key")], "--camera-file"),
    }
    config, origins = load_config(path, given)
    assert [camera.source for camera in config.cameras] == ["3", "b.mp4", None]
    assert [camera.source_file for camera in config.cameras] == [None, None, Path("key")]
    assert {camera.crop for camera in config.cameras} == {"1,2,3,4"}
    assert {camera.name for camera in config.cameras} == {None}
    assert [origins.of(f"cameras.{n}.crop") for n in range(3)] == [f"{path}, line 4, camera.crop"] * 3
    assert [origins.of(f"cameras.{n}.source") for n in range(2)] == ["--camera"] * 2
    assert origins.of("cameras.2.source_file") == "--camera-file"


def test_several_cameras_of_the_file_are_left_out_when_the_command_line_names_one(tmp_path):
    config, origins = load_config(write(tmp_path, WARD), {"cameras.source": Given(["film.mp4"], None)})
    (camera,) = config.cameras
    assert (camera.source, camera.name, camera.crop) == ("film.mp4", None, None)
    assert origins.of("cameras.0.source") is None  # an argument has no name
    assert origins.of("cameras.0.crop") is None


def test_what_the_command_line_says_of_all_cameras_holds_for_each_of_the_file(tmp_path):
    path = write(tmp_path, WARD)
    config, origins = load_config(
        path, {"cameras.crop": Given("0,0,9,9", "--crop"), "cameras.wait": Given(True, "--wait")}
    )
    assert [(camera.crop, camera.wait) for camera in config.cameras] == [("0,0,9,9", True)] * 2
    assert origins.of("cameras.1.crop") == "--crop"
    assert origins.of("cameras.1.name") == f"{path}, line 6, camera.1.name"


def test_names_are_given_in_the_order_of_the_cameras(tmp_path):
    names = {"cameras.name": Given(["north", "south"], "--name")}
    config, origins = load_config(write(tmp_path, WARD), names)
    assert [camera.name for camera in config.cameras] == ["north", "south"]
    assert origins.of("cameras.0.name") == "--name"
    with pytest.raises(ConfigError, match="2 names for 1 cameras") as refused:
        load_config(write(tmp_path, ROOM), names)
    assert refused.value.field == "cameras.name"


def test_a_secret_is_never_repeated(tmp_path):
    path = write(tmp_path, '[camera]\nsource = 0\n[mqtt]\nurl = "mqtt://anna:geheim\\u0007@host"\n')
    for given in ({}, {"mqtt.url": Given("mqtt://anna:geheim\x07@host", "--mqtt")}):
        with pytest.raises(ConfigError) as refused:
            load_config(path, given)
        assert "geheim" not in str(refused.value)
        assert re.match(r"(--mqtt|.*, line 4, mqtt\.url): holds a control character", str(refused.value))
