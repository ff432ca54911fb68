"""Whatever is read, it is taken or refused with an error of ours: a few of the cases of `bench/faults/fuzz.py`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.faults.fuzz import fuzz, run_case
from bench.faults.hostile import Target
from bench.faults.hostile.targets import TARGETS
from stan_edge.config.origins import load_config
from stan_edge.errors import ConfigError, StanEdgeError
from stan_edge.sinks.delivery.broker import Broker
from stan_edge.sinks.delivery.webhook import WebhookTarget
from stan_edge.sinks.http import ListenAddress
from stan_edge.sources import Crop, camera_name
from stan_edge.sources.address import parse_address
from stan_train.manifest import read_manifest

QUICK = {
    **dict.fromkeys(("configuration", "options", "contract", "digests", "manifest"), 150),
    **dict.fromkeys(("video", "pictures", "outbox", "collection", "requests"), 60),
    **dict.fromkeys(("journal", "recordings", "webhook", "hugging-face"), 25),
    **dict.fromkeys(("camera", "broker"), 5),
}
"""How many cases of which target."""
FIRST = 1_000_000
"""Other cases than those of the recorded run."""


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what an unreadable file leaves open is closed with its error
def test_it_is_taken_or_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with TARGETS[name].prepare(_made(tmp_path / "case")) as case:
        for number in range(FIRST, FIRST + QUICK[name]):
            assert run_case(TARGETS[name], case, number)[1] is None, f"--target {name} --number {number}"
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_no_case_hangs_crashes_or_writes_elsewhere(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    tally = fuzz(target, list(range(FIRST, FIRST + target.cases // 10)), tmp_path)
    assert tally.bugs == []
    assert tally.outcomes.total() == target.cases // 10


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _waits(_: object) -> str:
    while True:
        continue


def _dies(_: object) -> str:
    os.abort()


def _fails(_: object) -> str:
    raise ValueError("no error of ours")


def _takes_too_much(_: object) -> str:
    return str(len(bytearray(3 << 30)))


def _writes_elsewhere(_: object) -> str:
    Path("../../outside").write_text("x")
    return "taken"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "bug"),
    [
        (_waits, "hangs: nothing for 2 s"),
        (_dies, "crash: exit code -6"),
        (_fails, "ValueError"),
        (_takes_too_much, "MemoryError"),
        (_writes_elsewhere, "wrote open"),
    ],
)
def test_the_bench_itself_notices(
    what: Callable[[object], str], bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the process that runs the cases imports the targets anew: a module that changes them comes first on its path
    (tmp_path / "sitecustomize.py").write_text(
        "import contextlib\n"
        "from bench.faults.hostile import Target, targets\n"
        f"from tests.stan_edge.test_hostile_input import {what.__name__} as what\n"
        "@contextlib.contextmanager\n"
        "def prepare(folder):\n"
        "    yield what\n"
        "targets.TARGETS['trial'] = Target('trial', '', 3, 2, prepare)\n"
    )
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), root, os.environ.get("PYTHONPATH", ""))))
    trial = Target("trial", "", 3, 2, TARGETS["options"].prepare)
    found = fuzz(trial, [0, 1, 2], _made(tmp_path / "cases"))
    assert [number for number, _ in found.bugs] == [0, 1, 2]
    assert all(said.startswith(bug) for _, said in found.bugs), found.bugs


@settings(max_examples=300)
@given(st.text(max_size=60) | st.from_regex(r"[a-z]{2,5}://[^ ]{0,40}", fullmatch=True))
def test_any_text_as_an_address_or_a_crop(text: str) -> None:
    for parse in (parse_address, Crop.parse, ListenAddress.parse, Broker.parse, WebhookTarget.parse):
        _or_refused(parse, text)
    camera_name(text)


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_any_bytes_as_a_configuration_or_a_manifest(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file"
    path.write_bytes(content)
    for read in (load_config, read_manifest):
        _or_refused(read, path)


def _or_refused(read: Callable[[Any], object], what: object) -> None:
    try:
        read(what)
    except ConfigError as error:
        assert str(error).isprintable()


def test_an_error_is_one_line_whatever_it_repeats() -> None:
    error = StanEdgeError("film\n\x1b[31m\u202e\ud800é.mp4 does not exist; check the path.")
    assert str(error) == "film\\n\\x1b[31m\\u202e\\ud800é.mp4 does not exist; check the path."
