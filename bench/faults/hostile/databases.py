"""Journals and outboxes: SQLite files with bytes that nobody wrote, and rows that nobody would."""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from bench.faults.hostile import BrokenPromiseError, Case
from bench.faults.hostile.mutate import VALUES, damaged
from bench.faults.messages import kept_messages
from bench.faults.records import FRAMES, start
from stan_edge.errors import JournalError
from stan_edge.journal.reader import events, mark_exported, read_rows
from stan_edge.journal.rows import checksum
from stan_edge.journal.schema import FILE
from stan_edge.journal.writer import Journal
from stan_edge.records import End, Event, Phase, Record, Status, WindowCounts, WindowResult
from stan_edge.replay import last_run
from stan_edge.sinks.delivery.message import EventMessages, Message
from stan_edge.sinks.delivery.outbox import Outbox

SIDES = ("", "-wal")
AT = "2025-03-01T08:00:00.000+00:00"
PHASES: tuple[Phase, ...] = ("start", "update", "end")


def records(run: str) -> Iterator[Record]:
    """A run of a recording with a few windows and events."""
    yield replace(start("film.mp4", run), live=False)
    yield Status("film.mp4", "online", None, 1, 0.0)
    for number in range(6):
        for k in range(4 * number, 4 * number + 4):
            yield WindowResult(
                "film.mp4", k, k, k + 2, True, None, "falling", 0.75, {"falling": 0.75}, FRAMES, "tracked", 20.0
            )
        for phase in PHASES:
            yield event(run, number, phase)
    yield End("film.mp4", "end_of_stream", 100, WindowCounts(24))


def event(run: str, number: int, phase: Phase) -> Event:
    return Event("film.mp4", number, phase, "falling", number, number + 2, 0.9, FRAMES[16:], f"{run}-{number}")


@contextmanager
def journals(folder: Path) -> Iterator[Case]:
    whole = folder / "whole"
    for run in ("first", "second"):
        with closing(Journal(whole)) as journal:
            for record in records(run):
                journal.record(record)
    open_still = folder / "open"  # with a WAL that was not taken over
    with closing(Journal(open_still)) as journal:
        for record in records("killed"):
            journal.record(record)
        for side in SIDES:
            shutil.copy(open_still / (FILE + side), folder / f"killed{side}")
    contents = [{"": (whole / FILE).read_bytes()}, {side: (folder / f"killed{side}").read_bytes() for side in SIDES}]
    numbers = count()

    def case(rng: random.Random) -> str:
        home = folder / f"journal{next(numbers)}"
        home.mkdir()
        content = rng.choice(contents)
        for side, data in content.items():
            (home / (FILE + side)).write_bytes(data)
        victim = home / (FILE + rng.choice(list(content)))
        if rng.random() < 0.25:
            _wrong_rows(rng, home / FILE)
        else:
            victim.write_bytes(damaged(rng, victim.read_bytes()))
        try:
            return _use(home)
        finally:
            shutil.rmtree(home)

    yield case


def _use(home: Path) -> str:
    with suppress(JournalError):  # nothing can be read; it is written anew all the same
        _read(home)
    with kept_messages() as messages, closing(Journal(home)) as journal:
        journal.record(event("new", 0, "start"))
    stored = {row.event for row in read_rows(home, "records").rows}
    if "new-0" not in stored:
        raise BrokenPromiseError(f"the alarm is not in the journal: {messages}")
    _read(home)
    return "repaired" if any("set aside" in sentence for sentence in messages) else "taken"


def _read(home: Path) -> None:
    found = list(events(read_rows(home, "records").rows))
    for one in found:
        one.to_json()
    read_rows(home, "windows")
    with suppress(JournalError):  # it may have lost the run
        last_run(home, Path("film.mp4"))
    mark_exported(home, found[:1])


def _wrong_rows(rng: random.Random, path: Path) -> None:
    """Rows whose sums are right, and that say what no run says."""
    bodies: tuple[Any, ...] = (
        *(
            "",
            "null",
            "[]",
            "{",
            "{}",
            '{"type": "event"}',
            '{"type":"event","phase":"end"}',
            "1" * 5000,
            "[" * 100_000,
        ),
        *(
            b"",
            b"\x00",
            zlib.compress(b"null"),
            zlib.compress(bytes(300 << 20)),
            zlib.compress(b"[" * 100_000),
            b"x" * 9000,
        ),
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for _ in range(3):
            kind = rng.choice(("start", "event", "end", "window", "journal", "status", "other"))
            head: tuple[Any, ...] = (
                rng.choice((10**6 + rng.randrange(1000), 2**62, 2**63 - 1, -5)),
                rng.choice((0, -1, 2**62, -(2**62), 1_700_000_000_000)),
                rng.choice(("film.mp4", "", "\x1b[2J", "x" * 3000)),
                kind,
                rng.choice(("x-1", "first-0", None, "")),
                rng.choice(("start", "end", "update", None, "cut_off", "x")),
            )
            if rng.random() < 0.3:
                k = rng.randrange(1, 6)
                value = rng.choice([value for value in VALUES if isinstance(value, int | float | str | None)])
                head = (*head[:k], value, *head[k + 1 :])
            body = rng.choice(bodies)
            with suppress(sqlite3.Error, OverflowError, UnicodeError):
                connection.execute(
                    f"INSERT INTO {'windows' if kind == 'window' else 'records'} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*head, rng.choice((None, 5, "x")), body, checksum(head, body)),
                )


@contextmanager
def outboxes(folder: Path) -> Iterator[Case]:
    messages, whole = EventMessages(), folder / "whole.sqlite"
    with closing(Outbox(whole)) as outbox:
        for number in range(20):
            for phase in PHASES:
                outbox.put(messages.of(event("run", number, phase), AT))
    content = whole.read_bytes()
    numbers = count()

    def case(rng: random.Random) -> str:
        home = folder / f"outbox{next(numbers)}"
        home.mkdir()
        path = home / "mqtt.sqlite"
        path.write_bytes(content)
        try:
            if rng.random() < 0.3:
                _wrong_messages(rng, path)
            else:
                path.write_bytes(damaged(rng, content))
            with kept_messages() as logged, closing(Outbox(path)) as box:
                box.put(Message("new", b"{}", False))
                while (first := box.first()) is not None:
                    if not (isinstance(first.key, str) and isinstance(first.body, bytes)):
                        raise BrokenPromiseError(f"a message of {type(first.key)} and {type(first.body)}")
                    last = first.key
                    box.remove_first()
            if last != "new":
                raise BrokenPromiseError(f"the new message did not come last, but {last!r}")
            with closing(Outbox(path)) as box:
                if len(box):
                    raise BrokenPromiseError("what was delivered is there again")
            return "set aside" if logged else "taken"
        finally:
            shutil.rmtree(home)

    yield case


def _wrong_messages(rng: random.Random, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if rng.random() < 0.2:
            connection.execute("DROP TABLE outbox")
            connection.execute(
                rng.choice(("CREATE TABLE outbox (a)", "CREATE VIEW outbox AS SELECT 1", "CREATE TABLE x (y)"))
            )
            return
        for _ in range(3):
            row = (
                rng.choice((None, -5, 10**6, 2**63 - 1)),
                rng.choice((None, 5, 1.5, "key", b"key", "")),
                rng.choice((None, b"{}", "{}", 7, b"", b"x" * 2**20)),
                rng.choice((None, 0, 1, "x")),
            )
            with suppress(sqlite3.Error):
                connection.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", row)
