"""Every option once: its field, its flag, and the schema of the file."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
import typer.main
from pydantic import ValidationError
from typer.testing import CliRunner

from stan_edge.backends.registry import ALL_BACKENDS
from stan_edge.cli.app import app
from stan_edge.config import RunConfig
from stan_edge.config.origins import load_config
from stan_edge.config.run_config import OPTIONS, ModelConfig
from stan_edge.config.schema import toml_schema
from stan_edge.config.toml_file import tomllib
from stan_edge.model.bundle import shipped_bundle

ROOT = Path(__file__).parents[3]
ROOM = ROOT / "deploy" / "workstation" / "room.toml"
OF_RUN_ALONE = {"--demo", "--config", "--check"}
OTHER_MEANING = {
    ("stan_edge/cli/events.py", "--camera"): "chooses records of one camera",
    ("bench/stan_bench/cli/bench.py", "--json"): "a file for the measurements",
}
"""Options of other verbs that happen to be called like one of `run`."""
PACKAGES = ("stan_edge", "train/stan_eval", "export", "bench/stan_bench")
"""Training runs no model: `--precision` and `--fps` are other things there."""


def flags_in(path: Path) -> list[str]:
    """Flags that a file defines: text that is nothing but a flag, in a call that makes an option of it."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    makes = [call for call in calls if ast.unparse(call.func) in ("typer.Option", "setting", "Option")]
    said = [part.value for call in makes for part in call.args if isinstance(part, ast.Constant)]
    return [flag for text in said if isinstance(text, str) and text.startswith("--") for flag in text.split("/")]


def flags_of_run() -> dict[str, str]:
    return {flag: field for field, (_, option) in OPTIONS.items() for flag in option.flag.split("/")}


def test_every_field_has_a_flag_of_its_own_and_a_sentence_of_help():
    flags = [option.flag for _, option in OPTIONS.values()]
    assert len(flags) == len(set(flags))
    assert [field for field, (info, _) in OPTIONS.items() if not (info.description or "").endswith(".")] == []


def test_every_flag_of_run_is_written_in_one_place_of_the_source():
    places = Counter(
        (flag, str(path.relative_to(ROOT)))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for flag in flags_in(path)
    )
    known = flags_of_run()
    elsewhere = {(path, flag): count for (flag, path), count in places.items() if flag in known}
    once = {("stan_edge/config/run_config.py", flag): 1 for flag in known}
    others = {place: count for place, count in elsewhere.items() if place not in once}
    assert {place: elsewhere.get(place) for place in once} == once
    assert set(others) == set(OTHER_MEANING)


def test_run_takes_every_flag_and_no_other_but_its_own():
    params = [param for param in typer.main.get_command(app).commands["run"].params if param.name != "source"]
    taken = {flag for param in params for flag in (*param.opts, *param.secondary_opts)}
    assert taken - {"--help", "-h"} == set(flags_of_run()) | OF_RUN_ALONE


def test_help_says_the_bounds_defaults_variables_and_panels():
    said = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, ["run", "--help"]).stdout
    first, pictures, telling = re.split(
        r"─ (?:Pictures \(none leaves memory otherwise\)|Telling other systems) ─", said
    )
    for panel, flag, words in (
        (first, "--backend", "[default: auto]"),
        (first, "--threads", "0<=x<=1024"),
        (first, "--person", "--no-person"),
        (pictures, "--evidence-s", "0<=x<=60.0"),
        (telling, "--mqtt", "[env var: STAN_EDGE_MQTT]"),
        (telling, "--http", "HOST:PORT"),
    ):
        (line,) = (line for line in panel.splitlines() if f" {flag} " in line)
        assert words in line


def test_the_backends_are_those_that_can_be_opened():
    assert set(get_args(ModelConfig.model_fields["backend"].annotation)) == {"auto", *ALL_BACKENDS}


def test_evidence_blurs_people_unless_told_otherwise():
    def privacy(**sections: dict[str, str]) -> str:
        return RunConfig(cameras=[{"source": 0}], **sections).privacy

    assert privacy() == "none"
    assert privacy(evidence={"folder": "events"}) == "blur"
    assert privacy(evidence={"folder": "events"}, pictures={"privacy": "none"}) == "none"


def test_a_program_is_refused_as_a_file_is():
    for wrong in ({"cameras": []}, {"cameras": [{"source": "a", "source_file": "b"}]}, {"cameras": [{}]}):
        with pytest.raises(ValidationError):
            RunConfig(**wrong)
    with pytest.raises(ValidationError, match="nothing to sign"):
        RunConfig(cameras=[{"source": "a.mp4"}], webhook={"secret_file": "key"})


def everything_on() -> str:
    """The example with every commented line switched on."""
    return re.sub(r"^# (?=\[|\w+ = )", "", ROOM.read_text(), flags=re.MULTILINE)


def test_the_schema_takes_the_example_and_all_that_it_offers():
    schema = toml_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for text in (ROOM.read_text(), everything_on(), '[[camera]]\nsource = 0\n[[camera]]\nsource = "rtsp://host"\n'):
        assert [error.message for error in validator.iter_errors(tomllib.loads(text))] == []
    for text in (
        "camera = []",
        "[camera]\nsource = true",
        "[model]\nhop_s = 0",
        "[mqtt]\nca = 1",
        "[cammera]",
        "[log]\nlevel = 1",
    ):
        assert not validator.is_valid(tomllib.loads(text)), text
    json.dumps(schema)


def test_the_example_shows_every_field_once():
    document = tomllib.loads(everything_on())
    shown = {f"{section}.{name}" for section, fields in document.items() for name in fields}
    assert shown == {field.replace("cameras.", "camera.") for field in OPTIONS}


def test_the_example_says_the_defaults_where_it_says_so(tmp_path):
    path = tmp_path / "room.toml"
    path.write_text(everything_on().replace('source = "/dev/video0"', "# source"))
    config, _ = load_config(path)
    assert config.cameras[0].source_file == tmp_path / "secrets/room-camera"
    assert shipped_bundle().is_dir()
