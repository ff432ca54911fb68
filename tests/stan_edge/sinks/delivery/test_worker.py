"""Nothing that a delivery does holds up the camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Record
from stan_edge.sinks.delivery import worker
from stan_edge.sinks.delivery.outbox import Outbox
from stan_edge.sinks.delivery.worker import DeliveryWorker
from stan_edge.sources.scripted import ScriptedSource, Show
from tests.conftest import wait_until
from tests.stan_edge.sinks.conftest import START, a_window, an_event


class Noting(DeliveryWorker):
    def __init__(self, do: Callable[[Record], None] = lambda _: None) -> None:
        self.taken: list[Record] = []
        self.left = False
        self._do = do
        super().__init__("noting", Outbox(None))

    def take(self, record: Record, at: str) -> None:
        self.taken.append(record)
        self._do(record)

    def leave(self) -> None:
        self.left = True


@pytest.fixture
def run(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> Callable[..., Any]:
    def watch(sink: DeliveryWorker) -> Any:
        source = ScriptedSource([Show([*noisy(30, 60), *noisy(30, 190)], 10)], live=False, name="room")
        return Runtime(tiny_bundle, backend, explainer).watch([CameraSpec(source, None, [sink])])[0]

    return watch


def test_records_come_in_order_and_all_before_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    sink = Noting(lambda _: time.sleep(0.01))
    records = [START, *(a_window(number) for number in range(20)), an_event(0)]
    for record in records:
        sink.record(record)
    sink.close()
    assert sink.taken == records
    assert (sink.left, caplog.messages) == (True, [])
    assert not sink._worker.alive


def test_a_delivery_that_raises_stops_neither_the_run_nor_itself(
    run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Record) -> None:
        raise ZeroDivisionError("nobody thought of this")

    sink = Noting(fail)
    end = run(sink)
    assert (end.reason, end.windows.due) == ("end_of_stream", len(sink.taken) - 2 - sum(map(is_event, sink.taken)))
    assert caplog.messages == ["noting: ZeroDivisionError: nobody thought of this; going on."]


def is_event(record: Record) -> bool:
    return type(record).__name__ == "Event"


def test_a_delivery_that_hangs_costs_the_run_seconds_at_its_end_and_nothing_before(
    run: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FLUSH_S", 0.5)
    released = threading.Event()
    sink = Noting(lambda _: released.wait(30))
    began_s = time.monotonic()
    end = run(sink)
    assert end.reason == "end_of_stream"
    assert time.monotonic() - began_s < 15
    assert len(caplog.messages) == 1
    assert "noting: is stuck and was left behind with" in caplog.messages[0]
    released.set()
    wait_until(lambda: not sink._worker.alive)


def test_what_does_not_fit_is_counted_and_said_and_events_fit_longer_than_windows(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "QUEUE_RECORDS", 10)
    released = threading.Event()
    sink = Noting(lambda _: released.wait(30))
    sink.record(START)
    while not sink.taken:
        time.sleep(0.001)
    for number in range(8):
        sink.record(a_window(number))
    assert (sink.waiting, sink.lost) == (5, 3)
    for number in range(8):
        sink.record(an_event(number))
    assert (sink.waiting, sink.lost) == (10, 6)
    assert caplog.messages == ["noting: takes nothing for too long; records are lost."]
    released.set()
    sink.close()
    assert len(sink.taken) == 11


def test_closing_waits_for_what_is_under_way_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FLUSH_S", 0.3)

    class Busy(Noting):
        def idle(self) -> bool:
            return False

    sink = Busy()
    began_s = time.monotonic()
    sink.close()
    assert 0.3 <= time.monotonic() - began_s < 1.0
    assert sink.left
