"""A machine that is too slow: what is left out for a camera, said and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np

from stan_edge.backends.base import Backend
from stan_edge.clock import SimulatedClock
from stan_edge.journal.reader import read_rows
from stan_edge.journal.writer import Journal
from stan_edge.live.load_shedding import ServiceLevel
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.person.detection_rate import REDUCED_DETECTION_HZ
from stan_edge.person.tracking import PersonTracker, Sighting
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Event, Load, WindowResult
from stan_edge.sources.scripted import ScriptedSource, Show
from stan_edge.types import Image
from tests.stan_edge.live.conftest import Diary, Labels, Quick, Slow, Sluggish

CHEAP = "gradcam"


def service_levels(
    cheap_s: Callable[[float], float], labels_s: Callable[[float], float]
) -> Callable[..., list[ServiceLevel]]:
    """The whole ladder; seconds by the time of the run."""

    def make(explainer: Explainer, clock: SimulatedClock) -> list[ServiceLevel]:
        cheap, labels = Slow(Quick(CHEAP), clock, cheap_s), Labels(clock, labels_s)
        return [
            ServiceLevel("full", explainer),
            ServiceLevel("half_rate_detection", explainer, detection_hz=REDUCED_DETECTION_HZ),
            ServiceLevel("cheaper_method", cheap, detection_hz=REDUCED_DETECTION_HZ),
            ServiceLevel("explain_every_second", cheap, labels, explain_every=2, detection_hz=REDUCED_DETECTION_HZ),
            ServiceLevel("labels_only", None, labels, detection_hz=REDUCED_DETECTION_HZ),
            ServiceLevel("every_second_window", None, labels, take_every=2, detection_hz=REDUCED_DETECTION_HZ),
        ]

    return make


def busy(takes_s: float) -> Callable[[float], float]:
    """The machine is taken from 10 to 40 s; before and after, a window costs a hundredth of a second."""
    return lambda now_s: takes_s if 10.0 <= now_s < 40.0 else 0.01


def test_an_overload_is_answered_step_by_step_recorded_and_forgotten(
    watch: Callable[..., Any], room: Callable[..., Show], tmp_path: Any
) -> None:
    with closing(Journal(tmp_path / "journal")) as journal:
        _, diaries = watch(
            {"room": [room(10), room(110, 190)]},
            takes_s=busy(0.6),
            levels=service_levels(busy(0.5), busy(0.3)),
            journal=journal,
        )
    diary = diaries["room"]
    loads = diary.of(Load)
    assert [load.level for load in loads] == [
        *("cheaper_method", "explain_every_second", "labels_only", "every_second_window"),
        *("labels_only", "explain_every_second", "cheaper_method", "full"),
    ]
    assert [load.method for load in loads] == [CHEAP, CHEAP, None, None, None, CHEAP, CHEAP, "vanilla"]
    assert loads[0].reason == "windows were late for 1 s"
    assert loads[-1].reason == "there was room for 10 s"
    assert 10.0 < loads[0].t_s < 14.0 and loads[3].t_s < 25.0 and 50.0 <= loads[4].t_s < 53.0
    kept = [row.kind for row in read_rows(tmp_path / "journal", "records").rows]
    assert kept.count("load") == len(loads)
    level, seen = "full", set()
    for record in diary.records:
        if isinstance(record, Load):
            level = record.level
        if isinstance(record, WindowResult):
            seen.add((level, record.valid, record.reason, record.method))
            explained = record.method is not None
            assert (record.explained_class is not None) == explained
            assert all((frame.score is not None) == explained for frame in record.frames)
            assert explained or not any(frame.important for frame in record.frames)
    done = {(level, method) for level, valid, _, method in seen if valid}
    assert {
        ("full", "vanilla"),
        ("cheaper_method", CHEAP),
        ("explain_every_second", CHEAP),
        ("explain_every_second", None),
        ("labels_only", None),
    } <= done
    assert ("every_second_window", None) in done and ("every_second_window", "vanilla") not in done
    assert diary.explained == [window.window for window in diary.of(WindowResult) if window.method]
    end = diary.of(End)[0]
    assert end.windows.unexplained == sum(window.valid and not window.method for window in diary.of(WindowResult)) > 0
    # the alarm does not depend on explanations
    assert [event.phase for event in diary.of(Event) if event.phase != "update"] == ["start", "end"]


def test_frames_that_no_window_explained_have_no_importance(
    watch: Callable[..., Any], room: Callable[..., Show]
) -> None:
    def only_labels(_explainer: Explainer, clock: SimulatedClock) -> list[ServiceLevel]:
        return [ServiceLevel("labels_only", None, Labels(clock, lambda _: 0.0))]

    _, diaries = watch({"room": [room(20, 190)]}, levels=only_labels)
    diary = diaries["room"]
    assert {window.label for window in diary.of(WindowResult)} == {"falling"}
    assert {(frame.label, frame.importance) for frame in diary.frames} == {(None, None)}
    assert [event.phase for event in diary.of(Event) if event.phase != "update"] == ["start", "end"]
    assert all(event.important_frames == () for event in diary.of(Event))
    assert diary.explained == []


def test_a_machine_that_is_a_little_too_slow_settles(watch: Callable[..., Any], room: Callable[..., Show]) -> None:
    _, diaries = watch({"room": [room(600)]}, takes_s=0.25, levels=service_levels(lambda _: 0.05, lambda _: 0.05))
    diary = diaries["room"]
    assert {load.level for load in diary.of(Load)} == {"full", "cheaper_method"}
    assert len(diary.of(Load)) <= 13
    assert diary.on_time() >= 0.95


class DearSearch:
    """Takes so long for a look that ten of them in a second leave no time for the windows."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.looked_s: list[float] = []

    def find(self, image: Image, near: object) -> Sighting:
        self.looked_s.append(self._clock.now_s())
        self._clock.wait(lambda: False, 0.085)
        return Sighting(np.array([2.0, 2.0, 12.0, 12.0]))

    def forget(self) -> None: ...


def test_where_the_person_search_is_too_dear_it_looks_half_as_often(
    watch: Callable[..., Any], room: Callable[..., Show]
) -> None:
    searches: list[DearSearch] = []

    def tracker(clock: SimulatedClock) -> PersonTracker:
        searches.append(DearSearch(clock))
        return PersonTracker(searches[0])

    _, diaries = watch(
        {"room": [room(100)]}, takes_s=0.06, tracker=tracker, levels=service_levels(lambda _: 0.05, lambda _: 0.05)
    )
    diary = diaries["room"]
    assert {load.level for load in diary.of(Load)} <= {"full", "half_rate_detection"}
    assert diary.of(Load)[0].level == "half_rate_detection"
    # it is tried again, and most of the time it is found out again
    assert len(diary.of(Load)) <= 9
    assert diary.on_time() >= 0.85
    assert {window.method for window in diary.of(WindowResult) if window.valid} == {"vanilla"}
    assert 5 * 100 <= len(searches[0].looked_s) < 7 * 100


def test_the_ladder_is_each_cameras_own(watch: Callable[..., Any], room: Callable[..., Show]) -> None:
    _, diaries = watch(
        {"slow": [room(60)], "door": [room(60)]},
        takes_s=0.03,
        others={"slow": Sluggish()},
        levels=service_levels(lambda _: 0.02, lambda _: 0.01),
    )
    assert [load.level for load in diaries["slow"].of(Load)] == [
        "cheaper_method",
        "explain_every_second",
        "labels_only",
        "every_second_window",
    ]
    assert diaries["door"].of(Load) == []
    assert diaries["door"].on_time() >= 0.99
    assert {window.method for window in diaries["door"].of(WindowResult)} == {"vanilla"}


def test_a_recording_is_explained_whole_however_slow_the_machine(
    tiny_bundle: Bundle, backend: Backend, room: Callable[..., Show]
) -> None:
    clock = SimulatedClock()
    explainer, diary = Slow(Quick(), clock, 5.0), Diary()
    source = ScriptedSource([room(30, 190)], live=False, name="film")
    runtime = Runtime(
        tiny_bundle,
        backend,
        explainer,
        clock=clock,
        levels=service_levels(lambda _: 0.0, lambda _: 0.0)(explainer, clock),
    )
    (end,) = runtime.watch([CameraSpec(source, None, [diary])])
    assert (end.windows.due, end.windows.done, end.windows.unexplained) == (141, 141, 0)
    assert {window.method for window in diary.of(WindowResult)} == {"vanilla"}
    assert diary.of(Load) == []
