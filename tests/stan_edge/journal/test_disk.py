"""Full and read-only disks: the run goes on, alarms wait in memory, and both the trouble and its end are said."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.faults import records
from bench.faults.small_disk import fill
from stan_edge.errors import ConfigError, JournalBusyError, JournalError
from stan_edge.journal import trimming
from stan_edge.journal import writer as writer_module
from stan_edge.journal.reader import events, mark_exported, read_rows
from stan_edge.journal.store import Store
from stan_edge.journal.writer import ALARM_WAIT_S, Journal
from tests.conftest import wait_until


def test_a_full_disk_stops_nothing_and_takes_the_alarms_when_it_has_room_again(
    small_disk: Path, start_journal: Callable[..., Journal], caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "journal"
    journal = start_journal(folder)
    journal.record(records.start())
    journal.record(records.event(0, "start"))
    assert caplog.messages == []
    filling = fill(small_disk)
    announced = 1
    began_s = time.monotonic()
    while not caplog.messages:  # what the WAL had room for is written
        journal.record(records.event(announced, "start"))
        announced += 1
    for number in range(announced, announced + 50):
        journal.record(records.window(number))
        journal.record(records.event(number, "start"))
        journal.record(records.event(number, "update"))
        journal.record(records.event(number, "end"))
    assert time.monotonic() - began_s < ALARM_WAIT_S  # nobody waits for a disk that is known to be full
    assert len(caplog.messages) == 1
    assert "cannot be written (database or disk is full); running goes on" in caplog.messages[0]
    filling.unlink()
    wait_until(lambda: len(caplog.messages) == 2)
    assert "can be written again" in caplog.messages[1]
    assert "50 event records, 50 windows are lost" in caplog.messages[1]
    journal.record(records.end())
    journal.close()
    assert len(caplog.messages) == 2
    rows = read_rows(folder, "records").rows
    starts = {row.event for row in rows if row.phase == "start"}
    assert starts == {f"run-{number}" for number in range(announced + 50)}
    assert sum(row.phase == "end" for row in rows) == 50
    (note,) = [row for row in rows if row.kind == "journal"]
    assert '"lost": {"windows": 50, "event records": 50}' in note.body


def test_files_that_may_not_grow_are_a_full_disk_too(tmp_path: Path) -> None:
    """Needs no disk of its own: the limit is set on a process that writes, and lifted again."""
    command = [sys.executable, Path(__file__).with_name("announcer.py"), tmp_path / "journal", "run", "100", "0.02"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline()
    limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, limits[1]))
    time.sleep(0.5)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
    assert process.stderr is not None
    with process:  # `communicate` would leave out what `readline` has buffered
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0
    full, again = errors.splitlines()
    assert "cannot be written (disk I/O error)" in full
    assert "can be written again" in again
    announced = {tuple(line.split()) for line in (first + rest).splitlines()}
    assert len(announced) == 200
    assert announced <= {(row.event, row.phase) for row in read_rows(tmp_path / "journal", "records").rows}


def test_what_the_disk_never_took_is_said_at_the_end(
    small_disk: Path, start_journal: Callable[..., Journal], caplog: pytest.LogCaptureFixture
) -> None:
    journal = start_journal(small_disk / "journal")
    fill(small_disk)
    while not caplog.messages:
        journal.record(records.event(0, "start"))
    journal.record(records.event(1, "start"))
    journal.record(records.window(1))
    journal.close()
    assert "ended without" in caplog.messages[-1]
    assert "alarms, 1 windows, which the disk did not take" in caplog.messages[-1]


def test_a_disk_that_is_full_before_the_journal_begins_is_waited_for(
    small_disk: Path, start_journal: Callable[..., Journal], caplog: pytest.LogCaptureFixture
) -> None:
    filling = fill(small_disk)
    journal = start_journal(small_disk / "journal")
    journal.record(records.event(0, "start"))
    assert len(caplog.messages) == 1
    filling.unlink()
    wait_until(lambda: len(caplog.messages) == 2)
    journal.close()
    assert [event.rows[0].event for event in events(read_rows(small_disk / "journal", "records").rows)] == ["run-0"]


def test_a_disk_that_turns_read_only_and_back_again(
    small_disk: Path, start_journal: Callable[..., Journal], caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "journal"
    ended = start_journal(folder)
    ended.record(records.event(0, "start"))
    ended.close()
    remount(small_disk, "ro")
    journal = start_journal(folder)
    journal.record(records.event(1, "start"))
    assert len(caplog.messages) == 1
    assert "cannot be written" in caplog.messages[0]
    (before,) = events(read_rows(folder, "records").rows)
    assert before.rows[0].event == "run-0"
    with pytest.raises(JournalError, match="cannot be marked"):
        mark_exported(folder, [before])
    remount(small_disk, "rw")
    wait_until(lambda: len(caplog.messages) == 2)
    journal.close()
    assert len(list(events(read_rows(folder, "records").rows))) == 2


def remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(disk)], check=True)


def test_windows_give_way_when_somebody_else_fills_the_disk(
    small_disk: Path,
    start_journal: Callable[..., Journal],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trimming, "TRIM_EVERY_S", 0.0)
    folder = small_disk / "journal"
    journal = start_journal(folder)
    for number in range(3000):
        journal.record(records.window(number))
        if number % 500 == 0:
            journal.record(records.event(0, "start"))
    journal.record(records.event(0, "update"))
    journal.record(records.event(1, "start"))
    before = len(read_rows(folder, "windows").rows)
    assert before == 3000
    free = subprocess.run(["df", "--output=avail", "-B1", small_disk], capture_output=True, text=True, check=True)
    (small_disk / "grown").write_bytes(bytes(int(free.stdout.split()[-1]) - 700_000))
    wait_until(lambda: len(read_rows(folder, "windows").rows) < before)
    journal.record(records.event(0, "end"))
    journal.close()
    assert caplog.messages == []
    assert len(read_rows(folder, "records").rows) == 9


def test_a_disk_that_hangs_delays_an_alarm_by_a_bounded_time(
    start_journal: Callable[..., Journal],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = start_journal()
    journal.record(records.event(0, "start"))
    answers = threading.Event()
    append = Store.append

    def hang(store: Store, rows: object) -> None:
        answers.wait()
        append(store, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "append", hang)
    began_s = time.monotonic()
    journal.record(records.event(0, "end"))
    assert ALARM_WAIT_S <= time.monotonic() - began_s < ALARM_WAIT_S + 1
    began_s = time.monotonic()
    journal.record(records.event(1, "start"))
    assert time.monotonic() - began_s < 0.5  # waited for once
    assert ["no answer from the disk" in sentence for sentence in caplog.messages] == [True]
    answers.set()
    wait_until(lambda: len(caplog.messages) == 2)
    journal.close()
    rows = read_rows(tmp_path / "journal", "records").rows
    assert [(row.event, row.phase) for row in rows if row.event] == [
        ("run-0", "start"), ("run-0", "end"), ("run-1", "start"),
    ]  # fmt: skip


def test_memory_is_bounded_while_the_disk_is_full(
    small_disk: Path,
    start_journal: Callable[..., Journal],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "MAX_RECORDS", 100)
    filling = fill(small_disk)
    journal = start_journal(small_disk / "journal")
    for number in range(150):
        journal.record(records.event(number, "start"))
    filling.unlink()
    wait_until(lambda: len(caplog.messages) == 2)
    journal.close()
    assert "50 alarms are lost" in caplog.messages[1]
    kept = [row.event for row in read_rows(small_disk / "journal", "records").rows if row.kind == "event"]
    assert kept == [f"run-{number}" for number in range(50, 150)]  # the newest


def test_a_second_run_is_refused_and_the_first_goes_on(start_journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal = start_journal()
    with pytest.raises(JournalBusyError, match="another run writes it"):
        Journal(tmp_path / "journal")
    journal.record(records.event(0, "start"))
    journal.close()
    start_journal().record(records.event(1, "start"))
    assert len(list(events(read_rows(tmp_path / "journal", "records").rows))) == 2


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "none" / "journal"):
        with pytest.raises(ConfigError, match=f"{folder} cannot be a journal's folder") as refused:
            Journal(folder)
        assert refused.value.field == "journal.folder"


def test_records_of_several_cameras_and_threads_are_all_there_in_order(
    start_journal: Callable[..., Journal], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = start_journal()

    def watch(camera: str) -> None:
        journal.record(records.start(camera, run=camera))
        for number in range(20):
            journal.record(records.window(number, camera))
            for phase in ("start", "end"):
                journal.record(records.event(number, phase, camera, run=camera))  # type: ignore[arg-type]
        journal.record(records.end(camera))

    watching = [threading.Thread(target=watch, args=(f"camera {k}",)) for k in range(4)]
    for thread in watching:
        thread.start()
    for thread in watching:
        thread.join()
    journal.close()
    rows = read_rows(tmp_path / "journal", "records").rows
    for k in range(4):
        of_camera = [row for row in rows if row.camera == f"camera {k}"]
        assert [row.kind for row in of_camera] == ["start", *["event"] * 40, "end"]
        assert [row.event for row in of_camera if row.phase == "end"] == [f"camera {k}-{n}" for n in range(20)]
    assert len(read_rows(tmp_path / "journal", "windows").rows) == 80
    assert caplog.messages == []


def test_a_name_that_is_no_text_is_kept_as_far_as_it_is_one(
    start_journal: Callable[..., Journal], tmp_path: Path
) -> None:
    journal = start_journal()
    journal.record(records.event(0, "start", camera="room\udcff.mp4"))
    journal.close()
    (event,) = events(read_rows(tmp_path / "journal", "records").rows)
    assert event.last["camera"] == r"room\udcff.mp4"
