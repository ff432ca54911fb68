"""A process that writes is killed at any moment: no alarm that it announced is missing, and the next one goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stan_edge.journal.reader import read_rows
from stan_edge.journal.schema import FILE

ANNOUNCER = Path(__file__).with_name("announcer.py")


def run_and_kill(folder: Path, run: str, after_s: float) -> tuple[list[tuple[str, str]], str]:
    """What was announced until the process was killed, so long after its first alarm, and what it said."""
    process = subprocess.Popen(
        [sys.executable, ANNOUNCER, folder, run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    killer = threading.Timer(after_s, process.send_signal, [signal.SIGKILL])
    killer.start()
    rest, said = process.communicate(timeout=60)
    killer.join()
    assert process.returncode == -signal.SIGKILL, said
    whole = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    return [(event, phase) for event, phase in map(str.split, whole)], said


def check_kills(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    announced: list[tuple[str, str]] = []
    for number in range(kills):
        new, said = run_and_kill(folder, f"run{number}", rng.uniform(0, 0.15))
        assert new
        announced += new
        assert ("was cut off" in said) == (number > 0)
        assert said.count("\n") == (number > 0)
        found = read_rows(folder, "records")
        assert not found.damaged
        assert set(announced) <= {(row.event, row.phase) for row in found.rows}
    seqs = [row.seq for row in found.rows]
    seqs += [row.seq for row in read_rows(folder, "windows").rows]
    assert sorted(seqs) == list(range(1, len(seqs) + 1))  # none twice, none left out
    assert sum(row.phase == "cut_off" for row in found.rows) == kills - 1


def test_no_announced_alarm_is_missing_after_ten_kills(tmp_path: Path) -> None:
    check_kills(tmp_path / "journal", 10, seed=0)


@pytest.mark.slow
def test_no_announced_alarm_is_missing_after_two_hundred_kills(tmp_path: Path) -> None:
    check_kills(tmp_path / "journal", 200, seed=1)


def test_a_run_that_ended_says_nothing_on_the_next_start(tmp_path: Path) -> None:
    for run in ("one", "two"):
        ran = subprocess.run(
            [sys.executable, ANNOUNCER, tmp_path / "journal", run, "3"], capture_output=True, text=True, check=True
        )
        assert ran.stderr == ""
        assert len(ran.stdout.splitlines()) == 6
        names = sorted(path.name for path in (tmp_path / "journal").iterdir())
        assert names == [FILE, "journal.lock"]  # nothing else need be copied
    kinds = [row.kind for row in read_rows(tmp_path / "journal", "records").rows]
    assert kinds == [*["start", *["event"] * 9, "end"] * 2]
