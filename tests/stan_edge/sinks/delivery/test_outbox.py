"""What waits is delivered in order, also after a restart, and a full or damaged disk stops nothing."""

from __future__ import annotations

import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.errors import ConfigError
from stan_edge.sinks.delivery.message import EventMessages, Message
from stan_edge.sinks.delivery.outbox import Outbox
from tests.stan_edge.sinks.conftest import an_event


def a_message(number: int, *, droppable: bool = False) -> Message:
    return Message(f"key-{number}", b'{"number": %d}' % number, droppable)


def drain(outbox: Outbox) -> list[str]:
    keys = []
    while message := outbox.first():
        keys.append(message.key)
        outbox.remove_first()
    return keys


def test_no_two_messages_share_a_key_and_phases_share_their_event() -> None:
    one, other = EventMessages(), EventMessages()
    messages = [
        source.of(an_event(number, phase, run=run), "now")
        for source, run in ((one, "a"), (other, "b"))
        for number in (0, 1)
        for phase in ("start", "update", "update", "end")
    ]
    assert len({message.key for message in messages}) == 16
    assert [message.key for message in messages[:5]] == ["a-0-0", "a-0-1", "a-0-2", "a-0-3", "a-1-0"]
    assert [message.droppable for message in messages[:4]] == [False, True, True, False]
    assert one._sent == {}  # ended events take no memory


@given(st.lists(st.booleans(), max_size=40), st.integers(2, 12))
def test_when_it_is_full_updates_go_first_and_the_order_stays(droppable: list[bool], limit: int) -> None:
    outbox = Outbox(None, limit)
    for number, may_go in enumerate(droppable):
        outbox.put(a_message(number, droppable=may_go))
    assert len(outbox) == min(len(droppable), limit)
    assert outbox.lost == max(0, len(droppable) - limit)
    left = [int(key.removeprefix("key-")) for key in drain(outbox)]
    assert left == sorted(left)
    if droppable:
        assert left[0] == 0
    thrown = set(range(len(droppable))) - set(left)
    if any(not droppable[number] for number in thrown):  # not before all updates that were there at the time had gone
        worst = max(number for number in thrown if not droppable[number])
        assert all(not droppable[number] or number >= worst for number in left[1:])


@given(st.lists(st.none() | st.booleans(), max_size=30))
def test_on_disk_is_what_is_in_memory(tmp_path_factory: pytest.TempPathFactory, steps: list[bool | None]) -> None:
    path = tmp_path_factory.mktemp("outbox") / "mqtt.sqlite"
    outbox = Outbox(path, 5)
    for number, step in enumerate(steps):
        if step is not None:
            outbox.put(a_message(number, droppable=step))
        elif len(outbox):
            outbox.remove_first()
    assert outbox.lasting
    in_memory = [message.key for _, message in outbox._waiting]
    outbox.close()
    again = Outbox(path, 5)
    assert again.lasting
    assert drain(again) == in_memory
    again.close()


def test_it_survives_being_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mqtt.sqlite"
    program = (
        "import os; from pathlib import Path; from stan_edge.sinks.delivery.outbox import Outbox;"
        "from stan_edge.sinks.delivery.message import Message;"
        f"box = Outbox(Path({str(path)!r}));"
        "[box.put(Message(f'key-{n}', b'{}', False)) for n in range(50)]; box.remove_first(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -9
    outbox = Outbox(path)
    assert drain(outbox) == [f"key-{number}" for number in range(1, 50)]
    assert caplog.messages == []
    outbox.close()


def test_nobody_else_may_read_it_or_use_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mqtt.sqlite"
    outbox = Outbox(path)
    outbox.put(a_message(0))
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    with pytest.raises(ConfigError, match=r"mqtt\.sqlite is used by another stan-edge; give another folder"):
        Outbox(path)
    outbox.close()
    again = Outbox(path)
    assert drain(again) == ["key-0"]
    again.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None], ids=["other", "overwritten"])
def test_a_damaged_file_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    path = tmp_path / "mqtt.sqlite"
    outbox = Outbox(path)
    for number in range(200):
        outbox.put(a_message(number))
    outbox.close()
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:4096] + b"\xff" * (len(whole) - 4096))
    outbox = Outbox(path)
    assert len(caplog.messages) == 1
    assert "is damaged" in caplog.messages[0]
    assert len(outbox) == 0
    outbox.put(a_message(1))
    outbox.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mqtt.sqlite", "mqtt.sqlite.damaged"]


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "mqtt.sqlite").mkdir()
    for path in (tmp_path / "file" / "mqtt.sqlite", tmp_path / "mqtt.sqlite"):
        with pytest.raises(ConfigError, match="cannot be opened"):
            Outbox(path)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_said_once_and_messages_wait_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(tmp_path / "mqtt.sqlite")
    outbox.put(a_message(0))
    with full_disk(30_000):
        for number in range(1, 60):
            outbox.put(a_message(number))
        assert len(caplog.messages) == 1
        assert "cannot be written" in caplog.messages[0]
        assert not outbox.lasting
    assert drain(outbox) == [f"key-{number}" for number in range(60)]
    assert outbox.lasting
    outbox.close()


@pytest.mark.parametrize(
    "row", [(1, None, b"{}", 0), (1, "key", "{}", 0), (1, "key", None, 0), (2**63 - 1, "key", b"{}", 0)]
)
def test_rows_that_are_no_messages_are_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, row: tuple[object, ...]
) -> None:
    path = tmp_path / "mqtt.sqlite"
    Outbox(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", row)
    outbox = Outbox(path)
    outbox.put(a_message(5))
    assert drain(outbox) == ["key-5"]
    outbox.close()
    assert len(caplog.messages) == 1
    assert "is no message" in caplog.messages[0]
