from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.faults import records
from stan_edge.journal.reader import events, mark_exported, read_rows
from stan_edge.journal.rows import Head
from stan_edge.journal.schema import FILE, PAGE_BYTES
from stan_edge.journal.store import Store, open_store
from stan_edge.journal.trimming import DAY_MS, KEPT_FREE_PAGES, expendable, limit_bytes, trim, used_bytes
from stan_edge.journal.writer import Journal
from stan_edge.retention import Retention
from tests.conftest import wait_until
from tests.stan_edge.journal.conftest import event_row, many, other_row, window_row

SEEN = st.tuples(
    st.sampled_from(["door", "bed"]),
    st.sampled_from(["start", "end", "journal", "event start", "event update", "event end"]),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 10),
)


def trim_fully(store: Store, older_than_ms: float, limit_bytes: float) -> None:
    for _ in range(1000):
        if not trim(store.connection, older_than_ms, limit_bytes):
            return
    pytest.fail("never done")


@given(seen=st.lists(SEEN, max_size=40), older_than_ms=st.integers(0, 12), first_window=st.integers(0, 50))
def test_no_record_of_an_event_that_was_not_exported_may_go(
    seen: list[tuple[str, str, int, bool, int]], older_than_ms: int, first_window: int
) -> None:
    kept = []
    for seq, (camera, what, number, exported, at_ms) in enumerate(seen, 1):
        kind, _, phase = what.partition(" ")
        event = f"{camera}-{number}" if phase else None
        kept.append(Head(seq, at_ms, camera, kind, event, phase or None, 1 if exported and phase else None))
    gone = expendable(kept, older_than_ms, first_window)
    assert gone == sorted(set(gone))
    left = [record for record in kept if record.seq not in gone]
    by_event = defaultdict(list)
    for record in kept:
        by_event[record.event].append(record)
    for record in kept:
        if record.event is None:
            continue
        of_event = by_event[record.event]
        exported = all(one.exported_ms is not None for one in of_event)
        if not exported and record.phase != "update":
            assert record in left
        if not exported:
            assert of_event[-1] in left  # its latest state
        if exported and record.at_ms < older_than_ms:
            assert record not in left
    assert all(record.at_ms < older_than_ms for record in kept if record.seq in gone)
    for camera in ("door", "bed"):
        starts = [record for record in kept if record.kind == "start" and record.camera == camera]
        assert starts[-1:] == [record for record in left if record in starts[-1:]]


@given(seen=st.lists(SEEN, max_size=40))
def test_an_event_that_stays_keeps_the_start_that_says_what_saw_it(
    seen: list[tuple[str, str, int, bool, int]],
) -> None:
    kept = []
    for seq, (camera, what, number, exported, at_ms) in enumerate(seen, 1):
        kind, _, phase = what.partition(" ")
        kept.append(
            Head(seq, at_ms, camera, kind, f"{number}" if phase else None, phase or None, 1 if exported else None)
        )
    gone = set(expendable(kept))
    for record in kept:
        before = [one for one in kept if one.kind == "start" and one.camera == record.camera and one.seq < record.seq]
        if record.event is not None and record.seq not in gone and before:
            assert before[-1].seq not in gone


def test_old_windows_go_and_alarms_stay_until_they_are_exported(tmp_path: Path) -> None:
    old_ms, now_ms = 1_000, int(time.time() * 1000)
    store, _ = open_store(tmp_path)
    store.append(replace(row, at_ms=old_ms) for row in many())
    store.append([other_row("start", at_ms=now_ms), window_row(1, at_ms=now_ms), event_row(99, at_ms=now_ms)])
    trim_fully(store, now_ms - DAY_MS, 1e12)
    assert [row.at_ms for row in read_rows(tmp_path, "windows").rows] == [now_ms]
    rows = read_rows(tmp_path, "records").rows
    assert len(list(events(rows))) == 31
    assert rows[0].kind == "start"  # what saw the old ones
    mark_exported(tmp_path, events(rows))
    trim_fully(store, now_ms - DAY_MS, 1e12)
    assert [row.at_ms for row in read_rows(tmp_path, "records").rows] == [now_ms, now_ms]
    store.close()


def test_over_its_size_windows_go_first_then_what_was_exported_and_never_an_alarm(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path)
    store.append(many(events=300, windows_between=20))
    whole = used_bytes(store.connection)
    trim_fully(store, 0, whole / 2)
    left = read_rows(tmp_path, "windows").rows
    assert 0 < len(left) < 6000
    assert left[-1].seq == store.last_seq - 3  # the oldest went
    assert used_bytes(store.connection) <= whole / 2
    assert len(read_rows(tmp_path, "records").rows) == 602
    found = list(events(read_rows(tmp_path, "records").rows))
    mark_exported(tmp_path, found[:100])
    trim_fully(store, 0, PAGE_BYTES)
    assert read_rows(tmp_path, "windows").rows == ()
    kept = [event.rows[0].event for event in events(read_rows(tmp_path, "records").rows)]
    assert kept == [f"run-{number}" for number in range(100, 300)]
    store.close()


def test_space_is_really_given_back(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path)
    for first in range(0, 20_000, 2000):
        store.append(window_row(number) for number in range(first, first + 2000))
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = (tmp_path / FILE).stat().st_size
    assert before > 5e6
    trim_fully(store, 0, 1e6)
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert (tmp_path / FILE).stat().st_size <= 1e6 + (KEPT_FREE_PAGES + 10) * PAGE_BYTES
    store.close()
    store, repaired = open_store(tmp_path)
    assert repaired is None
    assert store.last_seq == 20_000
    store.close()


def test_alarms_that_fill_the_journal_are_kept_and_said(
    start_journal: Callable[..., Journal], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = start_journal(retention=Retention(megabytes=0.01))
    for number in range(30):
        journal.record(records.event(number, "start"))
    wait_until(lambda: caplog.messages)
    journal.close()
    assert ["were not exported do not fit into the 0 MB" in sentence for sentence in caplog.messages] == [True]
    rows = read_rows(tmp_path / "journal", "records").rows
    assert sum(row.kind == "event" for row in rows) == 30
    assert [row.phase for row in rows if row.kind == "journal"] == ["too_large"]


def test_an_alarm_that_went_on_after_it_was_exported_is_not_exported(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path)
    store.append([event_row(0)])
    mark_exported(tmp_path, events(read_rows(tmp_path, "records").rows))
    store.append([event_row(0, "end")])
    (event,) = events(read_rows(tmp_path, "records").rows)
    assert not event.exported
    trim_fully(store, 1e15, 0)
    assert len(read_rows(tmp_path, "records").rows) == 2
    store.close()


def test_the_disk_sets_a_limit_where_it_is_smaller(small_disk: Path) -> None:
    assert limit_bytes(Retention(megabytes=2000), small_disk, 100_000) == pytest.approx(100_000 + 0.95 * 2**24)
    (small_disk / "other").write_bytes(bytes(4_000_000))
    assert limit_bytes(Retention(megabytes=2000), small_disk, 100_000) == pytest.approx(
        100_000 + 0.95 * 2**24 - 4_001_792
    )
