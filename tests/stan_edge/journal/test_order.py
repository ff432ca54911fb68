"""What a runtime promises with a journal: first the disk, then everybody else; and ids that consumers can go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.journal.reader import read_rows
from stan_edge.journal.store import open_store
from stan_edge.journal.writer import Journal
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import Event, Record
from stan_edge.sinks.base import Sink
from stan_edge.sources.scripted import ScriptedSource, Show, Step


class Listener(Sink):
    """Looks into the journal whenever it hears of an alarm."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.events: list[Event] = []
        self.on_disk: list[bool] = []

    def record(self, record: Record) -> None:
        if not isinstance(record, Event):
            return
        self.events.append(record)
        if self._folder is not None and record.phase != "update":
            stored = [(row.event, row.phase) for row in read_rows(self._folder, "records").rows]
            self.on_disk.append((record.id, record.phase) in stored)


@pytest.fixture(scope="module")
def scene(noisy: Callable[..., np.ndarray]) -> list[Step]:
    return [Show([*noisy(15, 60), *noisy(30, 190), *noisy(30, 60, 1), *noisy(30, 190, 1)], 10)]


@pytest.fixture
def events_of(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., list[Event]]:
    def run(scene: Sequence[Step], *, live: bool = False) -> list[Event]:
        listener = Listener()
        Runtime(tiny_bundle, backend, explainer).watch(
            [CameraSpec(ScriptedSource(scene, live=live, name="room"), None, [listener])]
        )
        return listener.events

    return run


def test_no_sink_hears_of_an_alarm_before_it_is_on_the_disk(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, scene: list[Step], tmp_path: Path,
    start_journal: Callable[..., Journal],
) -> None:  # fmt: skip
    listener = Listener(tmp_path / "journal")
    source = ScriptedSource(scene, live=False, name="room")
    Runtime(tiny_bundle, backend, explainer, journal=start_journal()).watch([CameraSpec(source, None, [listener])])
    assert len(listener.on_disk) == 4
    assert all(listener.on_disk)


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path)
    assert store.connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_an_event_has_one_id_from_start_to_end_and_no_other_has_it(
    events_of: Callable[..., list[Event]], scene: list[Step]
) -> None:
    events = events_of(scene)
    assert len({event.event for event in events}) == 2
    assert {event.id for event in events} == {f"{str(events[0].id)[:-2]}-{number}" for number in (0, 1)}
    for event in events:
        assert [other.event for other in events if other.id == event.id] == [
            other.event for other in events if other.event == event.event
        ]


def test_a_camera_started_again_has_other_ids_and_a_recording_the_same(
    events_of: Callable[..., list[Event]], scene: list[Step], noisy: Callable[..., np.ndarray]
) -> None:
    def ids(scene: list[Step], **options: bool) -> set[str | None]:
        return {event.id for event in events_of(scene, **options)}

    assert ids(scene, live=True).isdisjoint(ids(scene, live=True))
    assert ids(scene) == ids(scene)
    other = [Show([*noisy(15, 60, 7), *noisy(30, 190)], 10)]
    assert ids(scene).isdisjoint(ids(other))  # another recording of the same name
