"""Work in a thread of its own: it survives what it raises, ends in time, and its queue is bounded."""

from __future__ import annotations

import threading
import time

import pytest

from stan_edge import worker as worker_module
from stan_edge.worker import Worker
from tests.conftest import wait_until


def test_a_step_comes_when_woken_and_when_it_asks_for_it() -> None:
    steps: list[float] = []

    def step() -> float | None:
        steps.append(time.monotonic())
        return 0.2 if len(steps) == 1 else None

    worker: Worker[None] = Worker("test", step)
    worker.start()
    wait_until(lambda: len(steps) == 2)
    assert steps[1] - steps[0] >= 0.2
    time.sleep(0.3)
    assert len(steps) == 2  # nobody asked for more
    worker.wake()
    wait_until(lambda: len(steps) == 3)
    assert worker.close(1.0)
    assert not worker.alive


def test_what_a_step_raises_is_logged_once_and_the_thread_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY_S", 0.01)
    attempts: list[int] = []

    def step() -> float | None:
        attempts.append(0)
        if len(attempts) < 5:
            raise OSError("no such luck")
        return None

    worker: Worker[None] = Worker("test", step)
    worker.start()
    wait_until(lambda: len(attempts) == 5)
    assert worker.close(1.0)
    assert caplog.messages == ["test: OSError: no such luck; going on."]


def test_closing_goes_on_until_it_is_done_and_leaves_at_the_end() -> None:
    left = threading.Event()
    steps: list[int] = []
    worker: Worker[None] = Worker("test", lambda: steps.append(0), done=lambda: len(steps) >= 4, leave=left.set)
    worker.start()
    assert worker.close(10.0)
    assert len(steps) >= 4
    assert left.is_set()


@pytest.mark.parametrize("limit_s", [0.1, 0.5])
def test_closing_takes_no_longer_than_it_may(limit_s: float) -> None:
    worker: Worker[None] = Worker("test", lambda: None, done=lambda: False)
    worker.start()
    began_s = time.monotonic()
    assert worker.close(limit_s)
    assert limit_s <= time.monotonic() - began_s < limit_s + 0.5


def test_a_step_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "LEAVE_S", 0.1)
    released = threading.Event()
    worker: Worker[None] = Worker("test", lambda: released.wait(30) and None)
    worker.start()
    began_s = time.monotonic()
    assert not worker.close(0.1)
    assert time.monotonic() - began_s < 1.0
    released.set()
    wait_until(lambda: not worker.alive)


def test_a_queue_is_bounded_kept_in_order_and_waits_for_room_if_asked_to() -> None:
    released = threading.Event()
    taken: list[int] = []

    def take(item: int) -> None:
        released.wait(30)
        taken.append(item)

    worker: Worker[int] = Worker("test", take=take, capacity=4)
    for number in range(4):
        assert worker.put(number)
    assert not worker.put(4)
    assert not worker.put(4, timeout_s=0.1)
    worker.start()
    assert worker.put(4, timeout_s=5.0)  # the thread has taken the first
    assert not worker.put(5)
    threading.Timer(0.2, released.set).start()
    assert worker.put(5, timeout_s=5.0)
    assert worker.close(5.0)
    assert taken == [0, 1, 2, 3, 4, 5]
    assert worker.waiting == 0


def test_a_share_of_the_queue_leaves_room_for_others() -> None:
    worker: Worker[int] = Worker("test", take=lambda _: None, capacity=10)
    assert [worker.put(k, share=0.5) for k in range(6)] == [True] * 5 + [False]
    assert [worker.put(k) for k in range(6)] == [True] * 5 + [False]


def test_an_item_that_cannot_be_handled_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []

    def take(item: int) -> None:
        taken.append(10 // item)

    worker: Worker[int] = Worker("test", take=take, capacity=4)
    for number in (5, 0, 2):
        worker.put(number)
    worker.start()
    assert worker.close(5.0)
    assert taken == [2, 5]
    assert len(caplog.messages) == 1
    assert "ZeroDivisionError" in caplog.messages[0]


def test_the_step_comes_in_between_however_many_items_there_are() -> None:
    steps: list[int] = []
    worker: Worker[int] = Worker("test", lambda: steps.append(0), take=lambda _: _again(), capacity=4)

    def _again() -> None:
        worker.put(0)  # one more for each that is taken

    worker.put(0)
    worker.start()
    wait_until(lambda: len(steps) >= 5)
    assert worker.close(0.2)  # not done, but in time
