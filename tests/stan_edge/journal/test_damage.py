"""Torn and flipped files: salvaged or refused by name, never a crash, and no alarm that is still there is lost."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.faults import records
from stan_edge.errors import JournalDamagedError, JournalError
from stan_edge.journal import store as store_module
from stan_edge.journal.reader import events, read_rows
from stan_edge.journal.rows import Row, checksum
from stan_edge.journal.schema import FILE, PAGE_BYTES
from stan_edge.journal.store import open_store
from stan_edge.journal.writer import Journal
from tests.stan_edge.journal.conftest import copy_of, event_row, many, set_mark

ALARMS = {(row.event, row.phase) for row in many() if row.kind == "event"}


def alarms(rows: tuple[Row, ...]) -> set[tuple[str | None, str | None]]:
    return {(row.event, row.phase) for row in rows if row.kind == "event"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    store, _ = open_store(folder)
    store.append(many())
    store.close()
    return folder


@pytest.fixture(scope="module")
def with_wal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a power cut leaves it: half in the file, half in its WAL."""
    folder = tmp_path_factory.mktemp("with-wal")
    store, _ = open_store(folder)
    rows = many()
    store.append(rows[:180])
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for row in rows[180:]:
        store.append([row])
    copy = copy_of(folder, folder.with_name("cut-off"))
    store.close()
    return copy


def flip(path: Path, bits: list[int]) -> None:
    data = bytearray(path.read_bytes())
    for bit in bits:
        data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def try_all(folder: Path) -> tuple[set[tuple[str | None, str | None]], str | None]:
    """Read it, then open it for writing, as a run would; the alarms that are then there, and what was repaired."""
    try:
        for event in events(read_rows(folder, "records").rows):
            event.to_json()
        read_rows(folder, "windows")
    except JournalError as error:
        assert str(error).count("\n") == 0
    store, repaired = open_store(folder)
    store.append([event_row(1000)])
    store.close()
    found = read_rows(folder, "records")
    assert not found.damaged
    assert ("run-1000", "start") in alarms(found.rows)
    assert [row.seq for row in found.rows] == sorted({row.seq for row in found.rows})
    return alarms(found.rows) - {("run-1000", "start")}, repaired


@given(bits=st.lists(st.integers(0, 8 * 200_000), min_size=1, max_size=3))
def test_flipped_bits_cost_no_alarm_but_their_own(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, bits: list[int]
) -> None:
    folder = copy_of(whole, tmp_path_factory.mktemp("flipped") / "journal")
    flip(folder / FILE, bits)
    found, repaired = try_all(folder)
    assert found <= ALARMS
    # a flip costs a row, or a page when it hits what says where its rows are
    per_page = 2 * PAGE_BYTES // min(len(row.body) for row in many() if row.kind == "event")
    assert len(ALARMS - found) <= per_page * len(bits)
    assert repaired is not None or found == ALARMS
    if repaired is not None:
        assert "set aside as journal.damaged-" in repaired
        assert len(list(folder.glob("journal.damaged-*.db"))) == 1


@given(keep=st.floats(0, 1))
def test_a_file_cut_anywhere_tells_what_is_left(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, keep: float
) -> None:
    folder = copy_of(whole, tmp_path_factory.mktemp("cut") / "journal")
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[: int(keep * len(data))])
    found, repaired = try_all(folder)
    assert found <= ALARMS
    assert repaired is not None or found == ALARMS or keep * len(data) < 1


@given(keep=st.floats(0, 1))
def test_a_torn_wal_costs_only_what_came_after_the_tear(
    with_wal: Path, tmp_path_factory: pytest.TempPathFactory, keep: float
) -> None:
    folder = copy_of(with_wal, tmp_path_factory.mktemp("torn") / "journal")
    wal = folder / f"{FILE}-wal"
    data = wal.read_bytes()
    wal.write_bytes(data[: int(keep * len(data))])
    found, repaired = try_all(folder)
    assert repaired is None
    in_order = [(row.event, row.phase) for row in many() if row.kind == "event"]
    assert found == set(in_order[: len(found)])
    assert len(found) >= 2 * (180 // 12 - 1)


@given(bits=st.lists(st.integers(0, 8 * 200_000), min_size=1, max_size=3), wal_too=st.booleans())
def test_flipped_bits_beside_a_wal_are_no_crash_either(
    with_wal: Path, tmp_path_factory: pytest.TempPathFactory, bits: list[int], wal_too: bool
) -> None:
    folder = copy_of(with_wal, tmp_path_factory.mktemp("flipped-wal") / "journal")
    flip(folder / FILE, bits)
    if wal_too:
        flip(folder / f"{FILE}-wal", bits)
    found, _ = try_all(folder)
    assert found <= ALARMS


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 1000, bytes(PAGE_BYTES * 4)])
def test_a_file_that_is_no_database_is_set_aside(filled: Path, content: bytes) -> None:
    (filled / FILE).write_bytes(content)
    with pytest.raises(JournalDamagedError, match="nothing can be read"):
        read_rows(filled, "records")
    found, repaired = try_all(filled)
    assert found == set()
    assert repaired is not None
    assert "0 records and 0 windows" in repaired


def test_numbers_go_on_after_a_repair_and_marks_stay(filled: Path) -> None:
    before = {row.seq: row for table in ("records", "windows") for row in read_rows(filled, table).rows}
    set_mark(filled, 12)
    flip(filled / FILE, [8 * 30])  # in the header: every page of rows is whole
    store, repaired = open_store(filled)
    assert repaired is not None
    assert f"{len(many()) - 300} records and 300 windows" in repaired
    store.append([event_row(77)])
    store.close()
    after = {row.seq: row for table in ("records", "windows") for row in read_rows(filled, table).rows}
    assert after.pop(max(before) + 1).event == "run-77"
    assert after[12].exported_ms == 1
    assert {seq: row.body for seq, row in after.items()} == {seq: row.body for seq, row in before.items()}


def test_a_repair_that_is_killed_between_two_renames_is_finished(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(filled / FILE, [8 * 30])

    class KilledError(Exception):
        pass

    moved: list[Path] = []
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if len(moved) == 2:  # the new file is complete, the damaged one is out of the way
            raise KilledError
        moved.append(target)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            open_store(filled)
    assert not (filled / FILE).exists()
    found, repaired = try_all(filled)
    assert found == ALARMS
    assert repaired is None
    assert len(list(filled.glob("journal.damaged-*.db"))) == 1


def test_damage_that_is_met_while_running_does_not_stop_the_run(
    start_journal: Callable[..., Journal],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = start_journal()
    journal.record(records.start())
    journal.record(records.event(0, "start"))
    connection = sqlite3.connect(tmp_path / "journal" / FILE)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    data = bytearray((tmp_path / "journal" / FILE).read_bytes())
    for page in range(1, len(data) // PAGE_BYTES):
        if data[page * PAGE_BYTES] == 0x0D:
            struct.pack_into(">H", data, page * PAGE_BYTES + 5, 1)  # where cells begin: inside the page's header
    with (tmp_path / "journal" / FILE).open("r+b") as file:
        file.write(data)
    # as if the pages had been dropped from memory
    monkeypatch.setattr(store_module.Store, "append", _forgetful(store_module.Store.append))
    journal.record(records.event(0, "end"))
    journal.record(records.end())
    journal.close()
    assert alarms(read_rows(tmp_path / "journal", "records").rows) == {("run-0", "start"), ("run-0", "end")}
    assert [sentence for sentence in caplog.messages if "set aside" in sentence] == caplog.messages
    assert [row.phase for row in read_rows(tmp_path / "journal", "records").rows if row.kind == "journal"] == [
        "set_aside"
    ]


def _forgetful(append: Callable[..., None]) -> Callable[..., None]:
    def forget_and_append(store: store_module.Store, rows: object) -> None:
        store.connection.execute("PRAGMA shrink_memory")
        append(store, rows)

    return forget_and_append


def test_somebody_elses_database_and_a_newer_journal_are_refused(filled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    connection = sqlite3.connect(other / FILE)
    connection.execute("CREATE TABLE notes (text)")
    connection.commit()
    connection.close()
    data = (filled / FILE).read_bytes()
    newer = data.replace(b"stan-edge journal 1", b"stan-edge journal 7")
    (filled / FILE).write_bytes(newer[:60] + struct.pack(">I", 7) + newer[64:])
    for folder, says in ((other, "another program"), (filled, "schema 7")):
        before = (folder / FILE).read_bytes()
        for use in (lambda: read_rows(folder, "records"), lambda: Journal(folder)):  # noqa: B023
            with pytest.raises(JournalError, match=says):
                use()
        assert (folder / FILE).read_bytes() == before


def test_of_a_large_file_only_the_records_are_saved(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SAVED_WHOLE_BYTES", 1000)
    flip(filled / FILE, [8 * 30])
    store, repaired = open_store(filled)
    store.close()
    assert repaired is not None
    assert "62 records, but no windows" in repaired
    assert alarms(read_rows(filled, "records").rows) == ALARMS
    assert read_rows(filled, "windows").rows == ()


def test_only_the_newest_damaged_file_is_kept(filled: Path) -> None:
    for _ in range(3):
        flip(filled / FILE, [8 * 30])
        store, _ = open_store(filled)
        store.close()
    assert len(list(filled.glob("journal.damaged-*.db"))) == 1


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"seq": 2**63 - 1}, None),
        ({"seq": -3}, None),
        ({"at_ms": 2**62}, None),
        ({"at_ms": "yesterday"}, None),
        ({"camera": b"door"}, None),
        ({"event": None}, None),
        ({}, ""),
        ({}, "null"),
        ({}, "[" * 100_000),
        ({}, "1" * 5000),
        ({}, '{"type": "event"}'),
        ({}, '{"type": "start", "camera": "door", "live": "yes"}'),
        ({"kind": "window"}, zlib.compress(bytes(50 << 20))),
        ({"kind": "window"}, b"not packed"),
    ],
)
def test_a_row_that_nobody_wrote_is_left_out_though_its_sum_is_right(
    filled: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object], body: str | bytes | None
) -> None:
    row = dict(zip(("seq", "at_ms", "camera", "kind", "event", "phase"), event_row(0).stored(), strict=False))
    row |= {"seq": 5000} | change
    head, body = tuple(row.values()), event_row(0).body if body is None else body
    with closing(sqlite3.connect(filled / FILE, isolation_level=None)) as file:
        file.execute(
            f"INSERT INTO {'windows' if row['kind'] == 'window' else 'records'} VALUES (?, ?, ?, ?, ?, ?, NULL, ?, ?)",
            (*head, body, checksum(head, body)),
        )
    assert alarms(read_rows(filled, "records").rows) >= ALARMS
    with closing(Journal(filled)) as journal:
        journal.record(records.event(99, "start"))
    assert not any("no answer" in sentence for sentence in caplog.messages)
    found = read_rows(filled, "records").rows
    assert "run-99" in {one.event for one in found}
    assert alarms(found) >= ALARMS
    for event in events(found):
        event.to_json()
