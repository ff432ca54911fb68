"""Every command and program in the documentation works, and every name in it exists."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from stan_edge.cli.app import app
from stan_edge.records import (
    SCHEMA,
    CameraState,
    End,
    Event,
    FrameScore,
    Load,
    LoadLevel,
    Start,
    Status,
    WindowCounts,
    WindowResult,
)
from tests.docs.blocks import PAGES, ROOT, Block, blocks
from tests.docs.shell import Shell

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ALL = [block for page in PAGES for block in blocks(page)]
RUN = [page for page in PAGES if page.name != "recipes.md"]  # those have a test of their own
RECORDS = ROOT / "docs" / "pages" / "records.md"


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in ("sh", "python") and "not run" not in block.marks]


def with_blocks(*, slow: bool) -> list[Any]:
    return [
        pytest.param(page, id=page.name)
        for page in RUN
        if any(("slow" in block.marks) >= slow and (slow or "slow" not in block.marks) for block in runnable(page))
    ]


@pytest.mark.parametrize("page", with_blocks(slow=False))
def test_what_a_page_shows_works(page: Path, shell: Shell) -> None:
    for block in runnable(page):
        if "slow" not in block.marks:
            shell.run(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_blocks(slow=True))
def test_a_whole_page_works(page: Path, shell: Shell) -> None:
    for block in runnable(page):
        shell.run(block)


def stan_edge_commands() -> Iterator[tuple[str, list[str]]]:
    """The words after each `stan-edge` of the pages, also of blocks that are not run."""
    for block in ALL:
        ours = block.language == "sh" and block.page != "recipes.md"  # recipes may add options, and all of them run
        for command in block.commands if ours else ():
            words = shlex.shlex(re.sub(r"^sudo (-u \S+ )?", "", command), posix=True, punctuation_chars=True)
            words.whitespace_split = True
            for operator, part in groupby(words, key=lambda word: set(word) <= set("|&>;")):
                name, *rest = part
                if not operator and Path(name).name == "stan-edge":
                    yield str(block), rest


def test_every_option_exists() -> None:
    found = list(stan_edge_commands())
    assert len(found) > 50
    for where, words in found:
        command: Any = get_command(app)
        rest = iter(words)
        while hasattr(command, "commands"):
            verb = next(rest, None)
            assert verb in command.commands, (where, words)
            command = command.commands[verb]
        options = {
            name: parameter
            for parameter in command.params
            if parameter.param_type_name == "option"
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        arguments = sum(parameter.param_type_name == "argument" for parameter in command.params)
        for word in rest:
            if word.startswith("-") and word != "-":
                assert word in options, (where, word)
                if not options[word].is_flag:
                    assert next(rest, None) is not None, (where, word)
            else:
                arguments -= 1
        assert arguments >= 0, (where, words)


def test_every_extra_and_target_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    extras = {extra for names in re.findall(r"'(?:\.|stan-edge)\[([\w,-]+)\]'", text) for extra in names.split(",")}
    assert extras and extras <= project["optional-dependencies"].keys()
    targets = set(re.findall(r"`make ([\w-]+)`", text)) | set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE))
    assert targets and all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_file_that_is_named_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:bench|deploy|stan_edge|tests|train|export|docs)/[\w./@-]+)`", text):
            assert (ROOT / name).exists() or page.name == "recipes.md", (page.name, name)
        for name in re.findall(r"`([a-z][\w-]*\.md)`", text):
            assert (ROOT / "bench" / "results" / name).exists() or name == "card.md", (page.name, name)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "toml"], ids=str)
def test_a_configuration_is_accepted(block: Block, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text(block.text, encoding="utf-8")
    shell.run(Block(block.page, block.line, "", "sh", None, "stan-edge check-config room.toml\n", {}))


def test_records_have_the_fields_of_the_page() -> None:
    frame = FrameScore(0.0, 0, 0.5, True)
    made = [
        Start(
            "a", "m", "sha256:0", "openvino", "f32", False, "gradcam", "blend", True, "r", False, 0.2, None, None, True
        ),
        WindowResult("a", 0, 0.0, 2.0, True, None, "falling", 1.0, {"falling": 1.0}, (frame,), "tracked", 1.0),
        Event("a", 0, "start", "falling", 0.0, 1.0, 1.0, (frame,), "r-0"),
        Status("a", "lost", None, 0, 0.0),
        Load("a", "full", "gradcam", "", 0.0),
        End("a", "stopped", 0, WindowCounts()),
    ]
    shown = {
        example["type"]: example
        for block in blocks(RECORDS)
        if block.language == "json"
        for example in [json.loads(block.text)]
    }
    assert shown["start"]["schema"] == SCHEMA
    for record in made:
        fields = record.to_json()
        example = shown.pop(fields["type"])
        assert list(example) == list(fields)
        for key, value in fields.items():
            if key in ("frames", "important_frames", "windows") and isinstance(value, list | dict):
                inner, said = (value[0], example[key][0]) if isinstance(value, list) else (value, example[key])
                assert list(said) == list(inner), (fields["type"], key)
    assert not shown


def test_every_level_and_state_is_explained() -> None:
    cameras = (ROOT / "docs" / "pages" / "cameras.md").read_text(encoding="utf-8")
    for value in (*get_args(LoadLevel), *get_args(CameraState)):
        assert f"| `{value}` |" in cameras
        assert f"`{value}`" in RECORDS.read_text(encoding="utf-8")
