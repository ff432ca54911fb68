"""The configuration file: what is wrong is said with its line and its field, whatever is in the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.config import RunConfig
from stan_edge.config.origins import load_config
from stan_edge.config.run_config import SECTIONS
from stan_edge.config.toml_file import TomlFile, tomllib
from stan_edge.errors import ConfigError

CAMERA = "[camera]\nsource = 0\n"


def said(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults, without the sections that say nothing."""
    return config.model_dump(exclude_defaults=True)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "room.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    path = write(folder, content)
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_a_whole_file_gives_the_configuration(tmp_path):
    path = write(
        tmp_path,
        """
        [camera]
        source = 0
        crop = "320,0,320,240"
        person = false
        wait = true
        [model]
        bundle = "models/mine"
        method = "gradcam"
        hop_s = 1
        threads = 2
        [journal]
        folder = "/var/lib/stan-edge/room"
        megabytes = 500
        [mqtt]
        url = "mqtts://user@broker/ward"
        password_file = "secrets/mqtt"
        home_assistant = true
        [http]
        listen = "9464"
        """,
    )
    config, origins = load_config(path)
    assert said(config) == {
        "cameras": ({"source": "0", "crop": "320,0,320,240", "person": False, "wait": True},),
        "model": {"bundle": tmp_path / "models/mine", "method": "gradcam", "hop_s": 1.0, "threads": 2},
        "journal": {"folder": Path("/var/lib/stan-edge/room"), "megabytes": 500.0},
        "mqtt": {
            "url": "mqtts://user@broker/ward",
            "password_file": tmp_path / "secrets/mqtt",
            "home_assistant": True,
        },
        "http": {"listen": "9464"},
    }
    assert origins.of("cameras.0.crop") == f"{path}, line 4, camera.crop"
    assert origins.of("model.hop_s") == f"{path}, line 10, model.hop_s"
    assert origins.of("model.backend") is None  # has its default


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ('"rtsp://user:p@host/path"', "rtsp://user:p@host/path"),
        ('"/dev/video2"', "/dev/video2"),
        ('"gst:v4l2src ! appsink"', "gst:v4l2src ! appsink"),
        ('"film.mp4"', "{folder}/film.mp4"),
        ("7", "7"),
    ],
)
def test_a_camera_is_taken_as_it_is_and_a_recording_from_the_folder_of_the_file(tmp_path, source, meant):
    config, _ = load_config(write(tmp_path, f"[camera]\nsource = {source}\n"))
    assert [camera.source for camera in config.cameras] == [meant.format(folder=tmp_path)]


def test_relative_paths_start_from_the_file_wherever_the_process_is(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", CAMERA + '[journal]\nfolder = "journal"')
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("etc/room.toml"))[0].journal.folder == tmp_path / "etc/journal"


def test_several_cameras_are_kept_apart_each_with_its_lines(tmp_path):
    path = write(
        tmp_path,
        """
        [[camera]]
        source = "rtsp://host/door"
        name = "door"
        crop = "0,0,320,240"
        [[camera]]
        source_file = "secrets/yard"
        person = false
        [model]
        hop_s = 0.4
        """,
    )
    config, origins = load_config(path)
    assert said(config) == {
        "cameras": (
            {"source": "rtsp://host/door", "name": "door", "crop": "0,0,320,240"},
            {"source_file": tmp_path / "secrets/yard", "person": False},
        ),
        "model": {"hop_s": 0.4},
    }
    assert origins.of("cameras.0.crop") == f"{path}, line 5, camera.0.crop"
    assert origins.of("cameras.1.crop") == f"{path}, line 6, camera.1"  # which has none


@pytest.mark.parametrize("content", ["", "# nothing\n"])
def test_a_file_that_says_nothing_leaves_only_the_camera_to_say(tmp_path, content):
    with pytest.raises(ConfigError, match=r"^Give one of: .* --demo"):
        load_config(write(tmp_path, content))


def test_a_file_from_windows_is_read(tmp_path):
    config, _ = load_config(write(tmp_path, b"\xef\xbb\xbf[camera]\r\nwait = true\r\nsource = 3\r\n"))
    assert said(config) == {"cameras": ({"source": "3", "wait": True},)}


@pytest.mark.parametrize(
    ("content", "line", "field", "says"),
    [
        ("[camera]\n\n# where\nsource = true\n", 4, "camera.source", "quotes"),
        ("[camera]\nsource = -1\n", 2, "camera.source", "quotes"),
        ('[camera]\nsource = ""\n', 2, "camera.source", "empty"),
        ("[camera]\nsource = 2020-01-01", 2, "camera.source", "quotes"),
        ('[camera]\nwait = "yes"', 2, "camera.wait", "true or false"),
        ("[camera]\nwait = 1", 2, "camera.wait", "true or false"),
        ('[camera]\ncrop = """\n1,2,3,4\n"""\n', 2, "camera.crop", "control character"),
        ("[[camera]]\nsource = 0\n\n[[camera]]\nsource = true", 5, "camera.1.source", "quotes"),
        ("[[camera]]\nsource = 0\n[[camera]]\nwiat = true", 4, "camera.1.wiat", "did you mean wait?"),
        ("camera = [1]", 1, "camera.0", "[[camera]] for each"),
        ("camera = []", 1, "camera", "[[camera]] above"),
        ("cameras = [{source = 0}]", 1, "cameras", "did you mean camera?"),
        ('[camera]\nsource = 0\n[mqtt]\n\nca = "x"', 5, "mqtt.ca", "no broker"),
        ('[outbox]\nfolder = "x"\n[camera]\nsource = 0', 2, "outbox.folder", "nothing to keep"),
        ("[camera]\nfps = 0", 2, "camera.fps", "0.1"),
        ('[log]\nlevel = "loud"', 2, "log.level", "'warning'"),
        ('[pictures]\nprivacy = "some"', 2, "pictures.privacy", "'silhouette'"),
        ('[camera]\nname = ""', 2, "camera.name", "empty"),
        ("camera = 0", 1, "camera", "[camera]"),
        ("[camera]\nsource = 0\n[model]\nthreads = 1.5", 4, "model.threads", "whole number"),
        ("[model]\nthreads = -1", 2, "model.threads", "0"),
        (f"[model]\nthreads = 1{'0' * 30}", 2, "model.threads", "1024"),
        ("[model]\nhop_s = inf", 2, "model.hop_s", "number"),
        (f"[model]\nhop_s = 1{'0' * 400}", 2, "model.hop_s", "number"),
        ("[model]\nhop_s = 0", 2, "model.hop_s", "0"),
        ("[model]\nhop_s = true", 2, "model.hop_s", "number"),
        ('[model]\nbackend = "tensorflow"', 2, "model.backend", "'openvino'"),
        ('[model]\nmethod = "magic"', 2, "model.method", "'gradcam'"),
        ('[model]\nbundle = ""', 2, "model.bundle", "empty"),
        ("[model]\nbundle = 3", 2, "model.bundle", "quotes"),
        ('[model]\nbundle = "a\\u0000b"', 2, "model.bundle", "control character"),
        ("model.threads = 2\nmodel.precision = 16", 2, "model.precision", "'f32'"),
        ("model = {threads = 2,  precision = 3}", 1, "model.precision", "'f32'"),
        ("camera.source = 0\nmodel.threads = [1,\n2]\n", 2, "model.threads", "whole number"),
        ('[mqtt]\nurl = "mqtt://h"\npasswort_file = "x"', 3, "mqtt.passwort_file", "did you mean password_file?"),
        ('[mqtt]\nurl = "mqtt://h"\n[mqtt.tls]\nca = "x"', 3, "mqtt.tls", "unknown"),
        ('mqtt.url = "mqtt://h"\nmqtt.tls.ca = "x"', 2, "mqtt.tls", "unknown"),
        ("[camera]\nsource = 0\n[cammera]\n", 3, "cammera", "did you mean camera?"),
        ('wait = true\n"a\\nb" = 2', 1, "wait", "known here"),
        ('"a\\nb" = 2', 1, "'a\\nb'", "known here"),
        ("[journal]\nmegabytes = 0.5", 2, "journal.megabytes", "1"),
        ("[journal]\nx = '''\na = 1\n[b]\n'''\ndays = '30'", 2, "journal.x", "unknown"),
        ("[journal]\nfolder = '''\\\n\na = 1'''\ndays = '30'", 2, "journal.folder", "control character"),
        ("[journal]\r\ndays = '30'\r\n", 2, "journal.days", "without quotes"),
    ],
)
def test_line_and_field_are_named(tmp_path, content, line, field, says):
    message = refusal(tmp_path, content)
    assert message.startswith(f", line {line}, {field}: ")
    assert says in message


def test_of_several_mistakes_the_first_in_the_file_is_named(tmp_path):
    # pydantic goes by the order of the schema
    assert refusal(tmp_path, "[log]\njson_lines = 0\n[camera]\nwait = 0").startswith(", line 2, log.json_lines: ")


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        ("[camera]\nwait = true\nwait = false\n", ", line 3", "overwrite"),
        ("[camera]\nwait = true\n[model]\n[camera]\n", ", line 4", "twice"),
        ("[camera]\nsource = rtsp://host\n", ", line 2", "Invalid value"),
        ('[camera]\nsource = "rtsp://host\n', ", line 2", "Illegal character"),
        ("[camera]\nwait =", ", line 2", "Invalid value"),
        ('[camera]\n\nx = """\n\n', ", line 3", "Unterminated"),
        ("[camera\n", ", line 1", "Expected ']'"),
        ("camera: 0\n", ", line 1", "Expected '='"),
        ("{}", ", line 1", "Invalid statement"),
        ("x = " + "[" * 5000, "", "nested"),
        ("x = 1" + "0" * 5000, "", "digits"),
        (b"[camera]\n# \xe9\n", ", line 2", "UTF-8"),
        (b"\xff\xd8\xff\xe0", ", line 1", "UTF-8"),
        (b"#" * 70_000, "", "64 KiB"),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(tmp_path, content, place, says):
    message = refusal(tmp_path, content)
    assert re.match(rf"{re.escape(place)}: ", message)
    assert says in message


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path):
    for path, says in ((tmp_path / "no.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError, match=says):
            load_config(path)


def test_no_value_is_repeated(tmp_path):
    for content in ('[mqtt]\npassword = "geheim"', '[mqtt]\npassword_file = ["geheim"]', '[webhook]\nurl = ["geheim"]'):
        assert "geheim" not in refusal(tmp_path, content)


NAMES = st.sampled_from(["camera", *SECTIONS, "source", "wait", "url", "days", "hop_s", "x", "", "ä", "a.b"])
VALUES = st.recursive(
    st.one_of(
        *(st.booleans(), st.integers(), st.floats(), st.dates(), st.datetimes(), st.times()),
        st.text(st.characters(codec="utf-8"), max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def as_toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in value) + '"'
        case list():
            return "[" + ",\n".join(map(as_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{as_toml(key)} = {as_toml(its)}" for key, its in value.items()) + "}"
        case int() | float():
            return str(value)
    return value.isoformat()


def only_a_sentence(path: Path) -> None:
    try:
        config, origins = load_config(path)
    except ConfigError as error:
        assert "\n" not in str(error).removeprefix(str(path))
    else:
        for section in config.model_fields_set - {"cameras"}:
            for name in getattr(config, section).model_fields_set:
                assert re.search(rf", line \d+, {section}\.{name}$", str(origins.of(f"{section}.{name}")))


@given(content=st.binary(max_size=200) | st.text(st.characters(codec="utf-8"), max_size=200).map(str.encode))
def test_any_bytes_give_a_configuration_or_a_sentence(tmp_path_factory, content):
    only_a_sentence(write(tmp_path_factory.getbasetemp(), content))


@given(content=st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3) | VALUES), max_size=4))
def test_any_toml_gives_a_configuration_or_a_sentence(tmp_path_factory, content):
    lines = []
    for section, its in content:
        if isinstance(its, dict):
            lines += [f"[{as_toml(section)}]", *(f"{as_toml(name)} = {as_toml(value)}" for name, value in its.items())]
        else:
            lines.insert(0, f"{as_toml(section)} = {as_toml(its)}")
    only_a_sentence(write(tmp_path_factory.getbasetemp(), "\n".join(lines)))


@given(content=st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), blanks=st.lists(st.booleans(), min_size=4))
def test_the_line_is_that_in_which_the_statement_begins(content, blanks):
    lines, begins = [], {}
    for (name, value), blank in zip(content.items(), blanks, strict=False):
        lines += ["", "# x = ["] * blank
        begins[name] = len(lines) + 1
        lines += f"{as_toml(name)} = {as_toml(value)}".split("\n")
    text = "\n".join(lines)
    document = tomllib.loads(text)
    for name, line in begins.items():
        assert name in document
        assert TomlFile(Path(), text, document).where((name,))[0] == line, name
