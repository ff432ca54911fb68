from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stan_edge.journal.rows import Row
from stan_edge.journal.schema import FILE
from stan_edge.journal.store import open_store
from stan_edge.journal.writer import Journal


def event_row(number: int, phase: str = "start", *, at_ms: int = 0, exported_ms: int | None = None) -> Row:
    body = (
        f'{{"type":"event","camera":"door","phase":"{phase}","event":{number},"label":"falling",'
        '"t_start_s":3.1,"t_end_s":4.9,"peak_probability":0.97}'
    )
    return Row(0, at_ms, "door", "event", f"run-{number}", phase, exported_ms, body)


def window_row(number: int, *, at_ms: int = 0, camera: str = "door") -> Row:
    frames = ",".join(f'{{"t_s":{number + k / 10},"index":{k},"score":0.{number * k % 9999}}}' for k in range(20))
    body = f'{{"type":"window","camera":"{camera}","window":{number},"frames":[{frames}]}}'
    return Row(0, at_ms, camera, "window", None, None, None, body)


def other_row(kind: str, *, at_ms: int = 0, camera: str = "door") -> Row:
    rest = '"live":false' if kind == "start" else '"frames":900,"windows":{}'
    return Row(0, at_ms, camera, kind, None, None, None, f'{{"type":"{kind}","camera":"{camera}",{rest}}}')


def many(events: int = 30, windows_between: int = 10) -> list[Row]:
    rows = [other_row("start")]
    for number in range(events):
        rows += [window_row(number * windows_between + k) for k in range(windows_between)]
        rows += [event_row(number), event_row(number, "end")]
    return [*rows, other_row("end")]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A closed journal of 30 events and 300 windows."""
    folder = tmp_path / "journal"
    folder.mkdir()
    store, _ = open_store(folder)
    store.append(many())
    store.close()
    return folder


@pytest.fixture
def start_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Journal]]:
    """Opens journals, and closes them at the end; `caplog` has what they log."""
    caplog.set_level(logging.INFO, logger="stan_edge")
    opened: list[Journal] = []

    def start(folder: Path | None = None, **options: object) -> Journal:
        opened.append(Journal(folder or tmp_path / "journal", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for journal in opened:
        journal.close()


def copy_of(folder: Path, to: Path) -> Path:
    """A copy without what only a running process needs."""
    return Path(shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm", "*.lock")))


def set_mark(folder: Path, seq: int) -> None:
    connection = sqlite3.connect(folder / FILE)
    connection.execute("UPDATE records SET exported_ms = 1 WHERE seq = ?", (seq,))
    connection.commit()
    connection.close()
