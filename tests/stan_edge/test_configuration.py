"""The configuration file: what is wrong is said with its line and its field, whatever is in the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import annotated_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends.registry import ALL_BACKENDS
from stan_edge.cli import run
from stan_edge.configuration import SECTIONS, dotted, fields, line_of, read_configuration, tomllib
from stan_edge.errors import ConfigError

NOT_IN_A_FILE = {
    "source": "camera.source says it",
    "demo": "shows what the program does",
    "fps": "for recordings",
    "realtime": "for recordings",
    "save_video": "a picture file of a run that never ends",
    "save_timeline": "likewise",
    "display": "a service has no screen",
    "config": "is the file",
    "check": "does not run",
}


OPTIONS = get_type_hints(run.command, include_extras=True)
"""The parameters of `run` as it declares them."""


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "room.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    path = write(folder, content)
    with pytest.raises(ConfigError) as refused:
        read_configuration(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_every_option_of_run_is_in_the_file_or_has_a_reason_not_to_be():
    in_file = [parameter for _, parameter in fields()]
    assert len(in_file) == len(set(in_file))
    assert set(in_file) | set(NOT_IN_A_FILE) == set(OPTIONS) - {"context", "return"}
    assert not set(in_file) & set(NOT_IN_A_FILE)


def test_the_file_takes_the_numbers_and_names_that_the_options_take():
    for (section, name), parameter in fields():
        bounds = {type(mark): mark for mark in SECTIONS[section].model_fields[name].metadata}
        smallest = OPTIONS[parameter].__metadata__[0].min
        largest = OPTIONS[parameter].__metadata__[0].max
        if largest is not None:
            assert bounds[annotated_types.Le].le == largest, parameter
        if smallest is not None:
            assert bounds[annotated_types.Ge].ge == smallest, parameter
    assert set(get_args(SECTIONS["model"].model_fields["backend"].annotation)) == {"auto", *ALL_BACKENDS}


def test_a_whole_file_gives_the_parameters_of_run(tmp_path):
    path = write(
        tmp_path,
        """
        [camera]
        source = 0
        crop = "320,0,320,240"
        person = false
        wait = true
        [model]
        folder = "models/mine"
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
    assert read_configuration(path).options == {
        "camera": "0",
        "crop": "320,0,320,240",
        "person": False,
        "wait": True,
        "model": tmp_path / "models/mine",
        "method": "gradcam",
        "hop_s": 1.0,
        "threads": 2,
        "journal": Path("/var/lib/stan-edge/room"),
        "journal_mb": 500.0,
        "mqtt": "mqtts://user@broker/ward",
        "mqtt_password_file": tmp_path / "secrets/mqtt",
        "home_assistant": True,
        "http": "9464",
    }


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
    path = write(tmp_path, f"[camera]\nsource = {source}\n")
    assert read_configuration(path).options == {"camera": meant.format(folder=tmp_path)}


def test_relative_paths_start_from_the_file_wherever_the_process_is(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", '[journal]\nfolder = "journal"')
    monkeypatch.chdir(tmp_path)
    assert read_configuration(Path("etc/room.toml")).options == {"journal": tmp_path / "etc/journal"}


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
    read = read_configuration(path)
    assert read.options == {"hop_s": 0.4}
    door, yard = read.cameras
    assert (door.source, door.name, door.crop, door.person) == ("rtsp://host/door", "door", "0,0,320,240", True)
    assert (yard.source, yard.source_file, yard.name, yard.person) == (None, tmp_path / "secrets/yard", None, False)
    assert read.where_in_camera(0, "crop") == f"{path}, line 5, camera.0.crop"
    assert read.where_in_camera(1, "crop") == f"{path}, line 6, camera.1"  # which has none
    assert read_configuration(write(tmp_path, '[camera]\nsource = 0\nname = "door"')).cameras == ()


@pytest.mark.parametrize("content", ["", "# nothing\n", "[camera]\n", b"\xef\xbb\xbf[camera]\r\nwait = true\r\n"])
def test_an_empty_file_and_one_from_windows_are_read(tmp_path, content):
    assert set(read_configuration(write(tmp_path, content)).options) <= {"wait"}


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
        ('[camera]\nname = ""', 2, "camera.name", "empty"),
        ("camera = 0", 1, "camera", "[camera]"),
        ("[camera]\nwait = true\n[model]\nthreads = 1.5", 4, "model.threads", "whole number"),
        ("[model]\nthreads = -1", 2, "model.threads", "0"),
        (f"[model]\nthreads = 1{'0' * 30}", 2, "model.threads", "1024"),
        ("[model]\nhop_s = inf", 2, "model.hop_s", "number"),
        (f"[model]\nhop_s = 1{'0' * 400}", 2, "model.hop_s", "number"),
        ("[model]\nhop_s = 0", 2, "model.hop_s", "0"),
        ("[model]\nhop_s = true", 2, "model.hop_s", "number"),
        ('[model]\nbackend = "tensorflow"', 2, "model.backend", "'openvino'"),
        ('[model]\nmethod = "magic"', 2, "model.method", "'gradcam'"),
        ('[model]\nfolder = ""', 2, "model.folder", "empty"),
        ("[model]\nfolder = 3", 2, "model.folder", "quotes"),
        ('[model]\nfolder = "a\\u0000b"', 2, "model.folder", "control character"),
        ("model.threads = 2\nmodel.precision = 16", 2, "model.precision", "'f32'"),
        ("model = {threads = 2,  precision = 3}", 1, "model.precision", "'f32'"),
        ("camera.wait = true\nmodel.threads = [1,\n2]\n", 2, "model.threads", "whole number"),
        ('[mqtt]\nurl = "mqtt://h"\npasswort_file = "x"', 3, "mqtt.passwort_file", "did you mean password_file?"),
        ('[mqtt]\nurl = "mqtt://h"\n[mqtt.tls]\nca = "x"', 3, "mqtt.tls", "unknown"),
        ('mqtt.url = "mqtt://h"\nmqtt.tls.ca = "x"', 2, "mqtt.tls", "unknown"),
        ("[camera]\nwait = true\n[cammera]\n", 3, "cammera", "did you mean camera?"),
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
            read_configuration(path)


def test_no_value_is_repeated(tmp_path):
    for content in ('[mqtt]\npassword = "geheim"', '[mqtt]\npassword_file = ["geheim"]', '[webhook]\nurl = ["geheim"]'):
        assert "geheim" not in refusal(tmp_path, content)


NAMES = st.sampled_from([*SECTIONS, "source", "wait", "url", "days", "hop_s", "x", "", "ä", "a.b"])
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
        configuration = read_configuration(path)
    except ConfigError as error:
        assert "\n" not in str(error).removeprefix(str(path))
    else:
        for parameter in configuration.options:
            assert re.search(r", line \d+, \w+\.\w+$", configuration.where(parameter))


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
        assert line_of(text, (name,)) == line, dotted((name,))
