"""Several cameras, one model: each as if it were alone, and none at the cost of another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.errors import ConfigError, SourceStalledError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.person.detection import watching
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Event, Start, Status, WindowResult
from stan_edge.sources import Crop, Frame, demo_clip, open_source
from stan_edge.sources.scripted import Fail, Gap, Off, ScriptedSource, Show, Step
from tests.stan_edge.live.conftest import UNREACHABLE, Diary, Sluggish

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
        runtime.watch([CameraSpec(ScriptedSource(scripts[n], live=False, name=n), None, [diaries[n]]) for n in names])
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


@pytest.mark.slow
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
                cameras.append(CameraSpec(source, stack.enter_context(watching(masks=False)), [diaries[name]]))
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
        Runtime(tiny_bundle, backend, explainer).watch([CameraSpec(source, None, [diary]) for source in sources])
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
        [CameraSpec(source, None, [diary]) for source, diary in zip((gone, there), diaries, strict=True)]
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
                [CameraSpec(source, None, [diary]) for source, diary in zip(sources, diaries, strict=True)]
            )
        broken, other = diaries[place], diaries[1 - place]
        assert (broken.discarded, broken.closed, other.discarded, other.closed) == (1, 0, 0, 1)
        assert other.of(End)[0].reason == "stopped"
        assert threading.active_count() == threads
