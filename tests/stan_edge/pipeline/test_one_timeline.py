"""From windows to one timeline by the runtime: the same for a file and a camera, at every hop, whatever is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.pipeline import Pipeline
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.pipeline.windows import Window
from stan_edge.records import Event, Record, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import VideoFile, demo_clip
from stan_edge.sources.scripted import Gap, ScriptedSource, Show, Step

TICK_S = 0.1


class Kept(Sink):
    """What one run says: everything but how long it took."""

    def __init__(self) -> None:
        self.windows: list[WindowResult] = []
        self.events: list[Event] = []
        self.timeline_frames: list[TimelineFrame] = []

    def record(self, record: Record) -> None:
        if isinstance(record, WindowResult):
            self.windows.append(replace(record, latency_ms=0.0))
        if isinstance(record, Event):
            self.events.append(record)

    def timeline(self, frames: list[TimelineFrame]) -> None:
        self.timeline_frames += frames


class Brightness(Explainer):
    """A model that costs nothing: bright windows are `falling`, dark ones `background`, bright frames important."""

    method: Method = "vanilla"

    def __init__(self) -> None:
        """Nothing to load."""

    def __call__(self, pictures: np.ndarray, class_index: int = -1, window: int = 0) -> Explanation:
        level = pictures.mean(axis=(0, 2, 3, 4), dtype=np.float64) / 255  # [T]
        logits = np.array([0.5 - level.mean(), level.mean() - 0.5, 0.1, 0.05, 0.0], np.float32) * 8
        return Explanation(
            logits, (level * 1e-3).astype(np.float32), level[:, None, None].astype(np.float32), self.method
        )


def played(
    bundle: Bundle, backend: Backend, explainer: Explainer, steps: list[Step], hop_s: float, *, live: bool
) -> Kept:
    kept = Kept()
    source = ScriptedSource(steps, live=live, name="room")
    end = Runtime(bundle, backend, explainer, hop_s=hop_s).watch([CameraSpec(source, None, [kept])])[0]
    assert (end.dropped, end.windows.shed) == ({}, 0)
    return kept


def check_file_equals_camera(
    bundle: Bundle, backend: Backend, explainer: Explainer, steps: list[Step], hop_ticks: int
) -> Kept:
    hop_s = hop_ticks * bundle.contract.input.tick_s
    file, camera = (played(bundle, backend, explainer, steps, hop_s, live=live) for live in (False, True))
    assert file.windows == camera.windows  # floats are compared by ==: to the bit
    assert file.timeline_frames == camera.timeline_frames
    assert file.events == camera.events
    return file


@dataclass(frozen=True)
class Part:
    """Noisy pictures of one brightness, then nothing for a while."""

    fps: float
    level: int
    count: int
    gap_s: float


def script(parts: tuple[Part, ...]) -> list[Step]:
    steps: list[Step] = []
    for part in parts:
        rng = np.random.default_rng(part.level)
        pictures = rng.integers(part.level - 20, part.level + 20, (part.count, 16, 16, 3), np.uint8)
        steps += [Show(list(pictures), part.fps), Gap(part.gap_s)]
    return steps


def _fills_a_window(parts: tuple[Part, ...]) -> bool:
    """A shorter recording is filled up with its last frame, which of a camera is a frozen picture."""
    return sum(part.count / part.fps for part in parts) > 2.2


# At most 108 frames: a camera that is read faster than it would show them may be ahead by 120, then it drops some. No
# gap is as long as a window: sampling would start anew (test_outages.py).
recordings = (
    st.lists(
        st.builds(
            Part,
            fps=st.sampled_from([7.5, 10.0, 12.5, 30.0]),
            level=st.integers(40, 210),
            count=st.integers(5, 27),
            gap_s=st.sampled_from([0.0, 0.0, 0.1, 0.4, 1.0]),
        ),
        min_size=1,
        max_size=4,
    )
    .map(tuple)
    .filter(_fills_a_window)
)


@given(recordings, st.integers(1, 20))
def test_a_file_and_a_camera_give_the_same_timeline_at_every_hop(
    tiny_bundle: Bundle, backend: Backend, parts: tuple[Part, ...], hop_ticks: int
) -> None:
    check_file_equals_camera(tiny_bundle, backend, Brightness(), script(parts), hop_ticks)


@pytest.mark.parametrize("hop_ticks", [1, 2, 3, 7, 20])
def test_so_does_an_exported_network(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray], hop_ticks: int
) -> None:
    steps = [Show(list(noisy(20, 60)), 10), Show(list(noisy(60, 190)), 25), Gap(1.0), Show(list(noisy(35, 60, 1)), 10)]
    kept = check_file_equals_camera(tiny_bundle, backend, explainer, steps, hop_ticks)
    assert {window.valid for window in kept.windows} == {False, True}
    assert {event.label for event in kept.events} == {"falling"}
    assert len({frame.importance for frame in kept.timeline_frames}) > 10


@pytest.mark.parametrize("hop_ticks", [2, 3])
def test_so_does_the_shipped_model_on_the_demo(hop_ticks: int) -> None:
    bundle, backend, source = open_bundle(shipped_bundle()), open_backend(threads=1), VideoFile(demo_clip())
    pictures = []
    while frame := source.read():
        pictures.append(frame.image)
    steps: list[Step] = [Show(pictures[90::2], 12.5)]  # 55 frames: a camera's reader keeps 64 MB
    kept = check_file_equals_camera(bundle, backend, Explainer(bundle, backend, "gradcam"), steps, hop_ticks)
    assert len({window.label for window in kept.windows}) > 1
    assert max(frame.importance for frame in kept.timeline_frames if frame.importance is not None) > 0.2


@dataclass(frozen=True)
class Concluded:
    results: list[WindowResult]
    frames: list[TimelineFrame]


def concluded(bundle: Bundle, steps: list[Step], hop_ticks: int, shed: Callable[[Window], bool]) -> Concluded:
    """A stream through to its end; windows for which `shed` says so are not explained."""
    contract, explainer, hop_s = bundle.contract, Brightness(), hop_ticks * TICK_S
    pipeline, source = Pipeline("room", contract, explainer, hop_s, live=True), ScriptedSource(steps)
    windows = []
    while (frame := source.read()) is not None:
        windows += pipeline.inputs.take(frame)[1]
    windows += pipeline.inputs.finish()
    results, frames = [], []
    for window in windows:
        outcome = pipeline.process(window, None if shed(window) else explainer)
        results.append(outcome.result)
        frames += outcome.final
    return Concluded(results, frames + pipeline.interpreter.finish()[0])


@given(recordings, st.integers(1, 20), st.sets(st.integers(0, 80)))
def test_what_was_shed_is_missing_and_changes_nothing_else(
    tiny_bundle: Bundle, parts: tuple[Part, ...], hop_ticks: int, shed: set[int]
) -> None:
    whole = concluded(tiny_bundle, script(parts), hop_ticks, lambda _: False)
    found = concluded(tiny_bundle, script(parts), hop_ticks, lambda window: window.number in shed)
    for result, right in zip(found.results, whole.results, strict=True):
        if result.reason != "shed":
            assert result == right
        else:
            assert right.valid
            assert (result.frames[0].t_s, result.frames[-1].index) == (right.frames[0].t_s, right.frames[-1].index)
    for tick, (frame, right) in enumerate(zip(found.frames, whole.frames, strict=True)):
        holding = [r for r in found.results if r.window * hop_ticks <= tick < r.window * hop_ticks + 20]
        assert (frame.t_s, frame.index) == (right.t_s, right.index)
        if not any(result.valid for result in holding):
            assert (frame.label, frame.importance) == (None, None)
        else:
            assert frame.importance is not None
        if not any(result.reason == "shed" for result in holding):
            assert frame == right


def test_where_all_windows_are_lost_the_timeline_says_so(tiny_bundle: Bundle, noisy: Callable[..., np.ndarray]) -> None:
    """Hop 1 s: windows at 0, 1, 2, ... s; those at 2, 3 and 4 s are shed, so that 3 to 5 s are in no other."""
    steps: list[Step] = [Show(list(noisy(100, 190)), 10)]
    frames = concluded(tiny_bundle, steps, 10, lambda window: 2 <= window.number <= 4).frames
    unknown = [frame.index for frame in frames if frame.importance is None]
    assert unknown == list(range(30, 50))
    assert {frame.label for frame in frames if frame.index not in unknown} == {"falling"}
