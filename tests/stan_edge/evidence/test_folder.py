"""Whole packs only, and nothing but packs is ever deleted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.evidence.case import Case
from stan_edge.evidence.folder import DAY_S, PART, EvidenceFolder
from stan_edge.evidence.pack import ABOUT, CLIP, RECORDS, write_pack
from stan_edge.model.bundle import CONTRACT, DIGESTS, Bundle
from stan_edge.retention import Retention
from tests.stan_edge.evidence.conftest import changed

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
def write(tiny_bundle: Bundle, make_case: Callable[..., Case]) -> Callable[..., Callable[[Path], None]]:
    contract_file = (tiny_bundle.folder / CONTRACT).read_bytes()

    def write(number: int = 0, seconds: float = 2.0) -> Callable[[Path], None]:
        case = make_case(number, seconds)
        return lambda folder: write_pack(folder, case, tiny_bundle.contract, contract_file, "none")

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(pack: Path, days: float) -> None:
    then_s = time.time() - days * DAY_S
    os.utime(pack / ABOUT, (then_s, then_s))


def test_a_change_of_any_file_is_noticed(tmp_path: Path, write: Callable[..., Callable[[Path], None]]) -> None:
    assert EvidenceFolder(tmp_path, Retention()).add("one", write())
    pack = tmp_path / "one"
    assert changed(pack) == []
    assert {ABOUT, CLIP, CONTRACT, DIGESTS, RECORDS} <= set(names(pack))
    for path in pack.iterdir():
        if path.name == DIGESTS:
            continue
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert changed(pack) == [path.name]
        path.write_bytes(before)
    (pack / "added.txt").touch()
    (pack / CLIP).unlink()
    assert changed(pack) == ["added.txt", CLIP]


def test_only_the_owner_can_look_at_a_pack(tmp_path: Path, write: Callable[..., Callable[[Path], None]]) -> None:
    folder = tmp_path / "evidence"
    EvidenceFolder(folder, Retention()).add("one", write())
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "one")] == [0o700, 0o700]


def test_a_pack_that_is_there_stays_as_it_is(tmp_path: Path, write: Callable[..., Callable[[Path], None]]) -> None:
    packs = EvidenceFolder(tmp_path, Retention())
    assert packs.add("one", write(0))
    before = (tmp_path / "one" / DIGESTS).read_bytes()
    assert not packs.add("one", write(1))
    assert (tmp_path / "one" / DIGESTS).read_bytes() == before
    assert names(tmp_path) == ["one"]


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, write: Callable[..., Callable[[Path], None]]) -> None:
    def fail(part: Path) -> None:
        write()(part)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        EvidenceFolder(tmp_path, Retention()).add("one", fail)
    assert names(tmp_path) == []


def test_old_packs_go_but_the_newest_and_whatever_is_no_pack_stays(
    tmp_path: Path, write: Callable[..., Callable[[Path], None]]
) -> None:
    packs = EvidenceFolder(tmp_path, Retention(days=30))
    for number, days in enumerate((90, 31, 29, 0)):
        packs.add(str(number), write(number, 0.5))
        age(tmp_path / str(number), days)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "picture.jpg").touch()
    (tmp_path / "letter.txt").touch()
    os.utime(tmp_path / "holiday", (0, 0))
    packs.trim()
    assert names(tmp_path) == ["2", "3", "holiday", "letter.txt"]
    age(tmp_path / "2", 31)
    age(tmp_path / "3", 31)
    packs.trim()
    assert names(tmp_path) == ["3", "holiday", "letter.txt"]


def test_the_oldest_go_when_there_is_no_room(tmp_path: Path, write: Callable[..., Callable[[Path], None]]) -> None:
    EvidenceFolder(tmp_path, Retention()).add("0", write(0))
    size_mb = sum(path.stat().st_size for path in (tmp_path / "0").iterdir()) / 1e6
    packs = EvidenceFolder(tmp_path, Retention(megabytes=2.5 * size_mb))
    for number in range(1, 4):
        packs.add(str(number), write(number))
        age(tmp_path / str(number), 0.1 * (3 - number))
    age(tmp_path / "0", 1)
    packs.trim()
    assert names(tmp_path) == ["2", "3"]


def test_what_another_run_is_writing_is_left_alone(
    tmp_path: Path, write: Callable[..., Callable[[Path], None]]
) -> None:
    packs = EvidenceFolder(tmp_path, Retention())

    def while_another_starts(part: Path) -> None:
        write()(part)
        EvidenceFolder(tmp_path, Retention()).trim()
        assert part.exists()

    assert packs.add("one", while_another_starts)
    assert changed(tmp_path / "one") == []


def test_a_kill_leaves_whole_packs_and_a_part_that_the_next_start_removes(tmp_path: Path, tiny_bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    whole, parts = 0, 0
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, WRITER, tmp_path, tiny_bundle.folder, str(kill)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        announced = process.communicate(timeout=30)[0].split()
        found = [path for path in tmp_path.iterdir() if not path.name.startswith(PART)]
        assert set(announced) <= {path.name for path in found}
        for pack in found:
            assert changed(pack) == []
            assert cv2.VideoCapture(str(pack / CLIP)).isOpened()
        whole, parts = len(found), parts + len(list(tmp_path.glob(f"{PART}*")))
        EvidenceFolder(tmp_path, Retention()).trim()
        assert list(tmp_path.glob(f"{PART}*")) == []
    assert whole > 0
    assert parts > 0  # it was killed in the middle, at least once


@pytest.mark.parametrize("kind", ["file", "nowhere"])
def test_a_folder_that_cannot_be_one_is_refused_by_its_flag(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" if kind == "file" else tmp_path / "nowhere" / "evidence"
    with pytest.raises(ConfigError, match=r"cannot be a folder \(.+\); give one"):
        EvidenceFolder(folder, Retention())
