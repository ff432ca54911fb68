"""Several cameras, one model: each as if it were alone, and none at the cost of another."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stan_edge.backends import Backend, open_backend
from stan_edge.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.errors import ConfigError, SourceConnectError, SourceStalledError
from stan_edge.explainer import Explainer, Explanation, Labeller, Verdict
from stan_edge.journal.reader import read_rows
from stan_edge.journal.writer import Journal
from stan_edge.ladder import Rung
from stan_edge.pose import watching
from stan_edge.records import End, Event, Load, Record, Start, Status, WindowResult
from stan_edge.runtime import Runtime, Watched
from stan_edge.sinks import Sink
from stan_edge.sources import (
    Crop,
    Fail,
    Frame,
    Gap,
    Off,
    Reconnecting,
    ScriptedCamera,
    ScriptedSource,
    Show,
    SimulatedClock,
    demo_clip,
    open_source,
)
from stan_edge.sources.scripted import Step
from stan_edge.timeline import TimelineFrame

HOP_S = 0.2
UNREACHABLE = SourceConnectError("it cannot be reached; check the cable.")


class Diary(Sink):
    """Everything that is said of one camera."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.latencies_ms: list[float] = []
        self.frames: list[TimelineFrame] = []
        self.explained: list[int] = []
        self.closed = self.discarded = 0

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult):
            self.latencies_ms.append(record.latency_ms)
            record = replace(record, latency_ms=0.0)
        self.records.append(record)

    def window(self, window: Any, result: WindowResult, square: object, explanation: Explanation) -> None:
        self.explained.append(result.window)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self.frames += frames

    def close(self) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.discarded += 1

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]

    def on_time(self) -> float:
        """Of all windows that were due, the part that was done within a hop."""
        windows = self.of(WindowResult)
        pairs = zip(windows, self.latencies_ms, strict=True)
        return sum(window.valid and ms <= HOP_S * 1e3 for window, ms in pairs) / len(windows)


@pytest.fixture
def room(noisy: Callable[..., np.ndarray]) -> Callable[..., Show]:
    """So many seconds of an empty room (dark), or of a fall (bright)."""
    pictures = {level: list(noisy(64, level, 0, 16, 16)) for level in (60, 190)}

    def show(duration_s: float, level: int = 60, fps: float = 10) -> Show:
        return Show(pictures[level], fps, duration_s)

    return show


class Slow(Explainer):
    """The real explainer after so many seconds of simulated time; one window at a time, as a real engine."""

    def __init__(self, explainer: Any, clock: SimulatedClock, takes_s: float | Callable[[float], float]) -> None:
        self.method = explainer.method
        self.batch_size = 1
        self._explainer, self._clock = explainer, clock
        self._takes_s = takes_s if callable(takes_s) else lambda _: takes_s

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Any:
        self._clock.wait(lambda: False, self._takes_s(self._clock.now_s()))
        return self._explainer(pictures, class_index, window)


class Quick(Explainer):
    """A model that costs nothing: bright windows are `falling`, dark ones `background`, bright frames important."""

    batch_size = 1

    def __init__(self, method: Any = "vanilla") -> None:
        self.method = method

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Explanation:
        level = pictures.reshape(-1, *pictures.shape[-4:]).mean(axis=(0, 2, 3, 4), dtype=np.float64) / 255  # [T]
        logits = np.array([0.5 - level.mean(), level.mean() - 0.5, 0.0, 0.0, 0.0], np.float32) * 40
        return Explanation(logits, (level * 1e-3).astype(np.float32), level[:, None, None].astype(np.float32))


class Labels(Labeller):
    """Its labels, after so many seconds."""

    batch_size = 1

    def __init__(self, clock: SimulatedClock, takes_s: Callable[[float], float]) -> None:
        self._clock, self._takes_s = clock, takes_s

    def __call__(self, pictures: Any, class_index: int = -1, window: int = 0) -> Verdict:
        self._clock.wait(lambda: False, self._takes_s(self._clock.now_s()))
        return Verdict(Quick()(pictures).logits)


@pytest.fixture
def watch(tiny_bundle: Bundle, backend: Backend) -> Callable[..., tuple[list[End], dict[str, Diary]]]:
    """Cameras by their scripts, in simulated time."""

    def run(
        scripts: dict[str, Sequence[Step]], *, takes_s: Any = 0.0, others: dict[str, Sink] | None = None, **options: Any
    ) -> Any:
        clock = SimulatedClock(threads=2 * len(scripts))
        diaries = {name: Diary() for name in scripts}
        cameras = []
        for name, steps in scripts.items():
            camera = ScriptedCamera(steps, clock, name=name)
            source = Reconnecting(name, camera.open, wait=True, clock=clock, rng=random.Random(0))
            sinks: list[Sink] = [diaries[name]]
            if others and name in others:
                other = others[name]
                other.clock = clock  # type: ignore[attr-defined]
                sinks.append(other)
            cameras.append(Watched(source, None, sinks))
        explainer = Slow(Quick(), clock, takes_s)
        if "rungs" in options:
            options["rungs"] = options["rungs"](explainer, clock)
        ends = Runtime(tiny_bundle, backend, explainer, clock=clock, **options).watch(cameras)
        return ends, diaries

    return run


# each as if it were alone


def test_recordings_together_give_the_records_of_each_alone(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    scripts = {
        name: [Show(list(noisy(30, 60, k)), 10), Show(list(noisy(20 + 10 * k, 190, k)), 10 + 5 * k), *gap]
        for k, (name, gap) in enumerate(
            {"one": [], "two": [Gap(5.0), Show(list(noisy(30, 60)), 10)], "three": []}.items()
        )
    }

    def play(*names: str) -> dict[str, Diary]:
        diaries = {name: Diary() for name in names}
        runtime = Runtime(tiny_bundle, backend, explainer)
        runtime.watch([Watched(ScriptedSource(scripts[n], live=False, name=n), None, [diaries[n]]) for n in names])
        return diaries

    together = play(*scripts)
    for name in scripts:
        (alone,) = play(name).values()
        assert together[name].records == alone.records  # floats by ==: to the bit
        assert together[name].frames == alone.frames
        assert [record.id for record in together[name].of(Event)] == [record.id for record in alone.of(Event)]
        assert alone.of(Event)
    ids = {record.id for diary in together.values() for record in diary.of(Event)}
    assert len(ids) == 3
    assert all(diary.closed == 1 for diary in together.values())


def test_so_does_the_shipped_model_with_its_person_search() -> None:
    bundle, backend = open_bundle(shipped_bundle()), open_backend(threads=1)
    explainer = Explainer(bundle, backend, "gradcam")
    seen = {"whole": None, "part": Crop(160, 0, 400, 360)}

    def play(*names: str) -> dict[str, Diary]:
        diaries = {name: Diary() for name in names}
        with ExitStack() as stack:
            cameras = []
            for name in names:
                source = stack.enter_context(closing(open_source(str(demo_clip()), name=name, crop=seen[name])))
                cameras.append(Watched(source, stack.enter_context(watching(masks=False)), [diaries[name]]))
            Runtime(bundle, backend, explainer, hop_s=0.4).watch(cameras)
        return diaries

    together = play(*seen)
    for name in seen:
        (alone,) = play(name).values()
        assert together[name].records == alone.records
        assert together[name].frames == alone.frames
    assert together["whole"].of(WindowResult) != together["part"].of(WindowResult)


@pytest.mark.parametrize("names", [("door", "door"), ("a b", "a_b")])
def test_two_cameras_of_one_name_are_refused_before_anything_is_read(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, names: tuple[str, str]
) -> None:
    diary, sources = Diary(), [ScriptedSource([], name=name) for name in names]
    with pytest.raises(ConfigError, match=f"Two cameras have one name .'{names[0]}', '{names[1]}'.; give each its own"):
        Runtime(tiny_bundle, backend, explainer).watch([Watched(source, None, [diary]) for source in sources])
    assert diary.records == []


# none at the cost of another


def test_cameras_that_the_engine_can_follow_are_all_on_time(
    watch: Callable[..., Any], room: Callable[..., Show]
) -> None:
    scripts = {f"camera {k}": [room(60 + k)] for k in range(4)}
    ends, diaries = watch(scripts, takes_s=0.045)  # 0.9 of the engine
    assert [end.camera for end in ends] == list(scripts)
    for diary in diaries.values():
        assert diary.on_time() >= 0.99
        assert isinstance(diary.records[0], Start)
        assert isinstance(diary.records[-1], End)


def test_cameras_that_are_too_many_share_the_engine_fairly(
    watch: Callable[..., Any], room: Callable[..., Show]
) -> None:
    ends, _ = watch({f"camera {k}": [room(60)] for k in range(4)}, takes_s=0.1)  # twice what there is
    done = [end.windows.done for end in ends]
    assert min(done) > 0.9 * max(done)
    assert sum(done) > 0.9 * 60 / 0.1
    assert all(end.windows.due == end.windows.done + end.windows.invalid + end.windows.shed for end in ends)


class Sluggish(Sink):
    """Takes longer for a frame than there is until the next."""

    clock: SimulatedClock

    def frame(self, frame: Frame, region: object) -> None:
        self.clock.wait(lambda: False, 0.25)


@pytest.mark.parametrize(
    "trouble",
    ["dead", "hanging", "flapping", "slow", "broken"],
)
def test_one_camera_in_trouble_leaves_the_others_on_time(
    watch: Callable[..., Any], room: Callable[..., Show], trouble: str
) -> None:
    scripts: dict[str, list[Step]] = {
        "dead": [Off(60.0, UNREACHABLE)],
        "hanging": [room(10), Gap(50.0)],
        "flapping": [step for _ in range(12) for step in (room(3), Off(2.0, UNREACHABLE))],
        "slow": [room(60)],
        "broken": [room(10), Fail(SourceStalledError("it is silent.")), room(50)],
    }
    others = {trouble: Sluggish()} if trouble == "slow" else None
    healthy = {"door": [room(60)], "yard": [room(30), room(30, 190)]}
    _, diaries = watch({trouble: scripts[trouble], **healthy}, takes_s=0.05, others=others)
    for name in healthy:
        assert diaries[name].on_time() >= 0.99
        assert len(diaries[name].of(WindowResult)) >= 285
    assert [event.phase for event in diaries["yard"].of(Event)][:1] == ["start"]
    if trouble == "slow":
        assert diaries[trouble].of(End)[0].dropped["slow"] > 0
    else:
        assert {status.state for status in diaries[trouble].of(Status)} - {"online"}


def test_a_camera_that_is_not_there_is_said_and_leaves_the_others(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    diaries = [Diary(), Diary()]
    gone = ScriptedSource([Fail(UNREACHABLE)], live=True, name="gone")
    there = ScriptedSource([Show(list(noisy(30, 60)), 10)], live=False, name="there")
    ends = Runtime(tiny_bundle, backend, explainer).watch(
        [Watched(source, None, [diary]) for source, diary in zip((gone, there), diaries, strict=True)]
    )
    assert [(end.camera, end.failed, end.frames) for end in ends] == [("gone", True, 0), ("there", False, 30)]
    assert [type(record) for record in diaries[0].records] == [Start, End]
    assert ends[0].reason == str(UNREACHABLE)
    assert [diary.closed for diary in diaries] == [1, 1]


def test_a_sink_that_cannot_write_ends_the_run_and_the_others_are_finished(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, room: Callable[..., Show]
) -> None:
    class Full(Diary):
        def frame(self, frame: Frame, region: object) -> None:
            if frame.index == 5:
                raise ConfigError("The disk is full.")

    for place in (0, 1):
        diaries: list[Diary] = [Diary(), Diary()]
        diaries[place] = Full()
        sources = [ScriptedSource([room(1000)], realtime=True, name=name) for name in ("one", "two")]
        threads = threading.active_count()
        with pytest.raises(ConfigError, match="disk is full"):
            Runtime(tiny_bundle, backend, explainer).watch(
                [Watched(source, None, [diary]) for source, diary in zip(sources, diaries, strict=True)]
            )
        broken, other = diaries[place], diaries[1 - place]
        assert (broken.discarded, broken.closed, other.discarded, other.closed) == (1, 0, 0, 1)
        assert other.of(End)[0].reason == "stopped"
        assert threading.active_count() == threads


# what is left out for want of time


CHEAP = "gradcam"


def rungs(cheap_s: Callable[[float], float], labels_s: Callable[[float], float]) -> Callable[..., list[Rung]]:
    """The whole ladder; seconds by the time of the run."""

    def make(explainer: Explainer, clock: SimulatedClock) -> list[Rung]:
        cheap, labels = Slow(Quick(CHEAP), clock, cheap_s), Labels(clock, labels_s)
        return [
            Rung("full", explainer),
            Rung("cheap", cheap),
            Rung("alternate", cheap, labels, explain_every=2),
            Rung("labels", None, labels),
            Rung("fewer", None, labels, take_every=2),
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
            rungs=rungs(busy(0.5), busy(0.3)),
            journal=journal,
        )
    diary = diaries["room"]
    loads = diary.of(Load)
    assert [load.level for load in loads] == [
        *("cheap", "alternate", "labels", "fewer"),
        *("labels", "alternate", "cheap", "full"),
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
            assert (record.explained is not None) == explained
            assert all((frame.score is not None) == explained for frame in record.frames)
            assert explained or not any(frame.important for frame in record.frames)
    done = {(level, method) for level, valid, _, method in seen if valid}
    assert {("full", "vanilla"), ("cheap", CHEAP), ("alternate", CHEAP), ("alternate", None), ("labels", None)} <= done
    assert ("fewer", None) in done and ("fewer", "vanilla") not in done
    assert diary.explained == [window.window for window in diary.of(WindowResult) if window.method]
    end = diary.of(End)[0]
    assert end.windows.labelled == sum(window.valid and not window.method for window in diary.of(WindowResult)) > 0
    # the alarm does not depend on explanations
    assert [event.phase for event in diary.of(Event) if event.phase != "update"] == ["start", "end"]


def test_frames_that_no_window_explained_have_no_importance(
    watch: Callable[..., Any], room: Callable[..., Show]
) -> None:
    def only_labels(_explainer: Explainer, clock: SimulatedClock) -> list[Rung]:
        return [Rung("labels", None, Labels(clock, lambda _: 0.0))]

    _, diaries = watch({"room": [room(20, 190)]}, rungs=only_labels)
    diary = diaries["room"]
    assert {window.label for window in diary.of(WindowResult)} == {"falling"}
    assert {(frame.label, frame.importance) for frame in diary.frames} == {(None, None)}
    assert [event.phase for event in diary.of(Event) if event.phase != "update"] == ["start", "end"]
    assert all(event.important_frames == () for event in diary.of(Event))
    assert diary.explained == []


def test_a_machine_that_is_a_little_too_slow_settles(watch: Callable[..., Any], room: Callable[..., Show]) -> None:
    _, diaries = watch({"room": [room(600)]}, takes_s=0.25, rungs=rungs(lambda _: 0.05, lambda _: 0.05))
    diary = diaries["room"]
    assert {load.level for load in diary.of(Load)} == {"full", "cheap"}
    assert len(diary.of(Load)) <= 13
    assert diary.on_time() >= 0.95


def test_the_ladder_is_each_cameras_own(watch: Callable[..., Any], room: Callable[..., Show]) -> None:
    _, diaries = watch(
        {"slow": [room(60)], "door": [room(60)]},
        takes_s=0.03,
        others={"slow": Sluggish()},
        rungs=rungs(lambda _: 0.02, lambda _: 0.01),
    )
    assert [load.level for load in diaries["slow"].of(Load)] == ["cheap", "alternate", "labels", "fewer"]
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
        tiny_bundle, backend, explainer, clock=clock, rungs=rungs(lambda _: 0.0, lambda _: 0.0)(explainer, clock)
    )
    (end,) = runtime.watch([Watched(source, None, [diary])])
    assert (end.windows.due, end.windows.done, end.windows.labelled) == (141, 141, 0)
    assert {window.method for window in diary.of(WindowResult)} == {"vanilla"}
    assert diary.of(Load) == []
