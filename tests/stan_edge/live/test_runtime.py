from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceConnectError, SourceStalledError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Contract
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.records import End, Event, Record, Start, WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import Frame, Source
from stan_edge.sources.scripted import Black, Fail, Freeze, Gap, ScriptedSource, Show, Step


class Recorder(Sink):
    """Keeps everything a sink is told."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.frames: list[int] = []
        self.final: list[int] = []
        self.closed = 0

    def record(self, record: Record) -> None:
        self.records.append(record)

    def frame(self, frame: Frame, region: object) -> None:
        self.frames.append(frame.index)

    def timeline(self, frames: list[Any]) -> None:
        self.final += [frame.index for frame in frames]

    def close(self) -> None:
        self.closed += 1

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


@pytest.fixture
def watch(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., tuple[End, Recorder]]:
    def run(source: Source, *, explain: Any = explainer, bundle: Bundle = tiny_bundle, **options: Any) -> Any:
        recorder = Recorder()
        end = Runtime(bundle, backend, explain, **options).watch([CameraSpec(source, None, [recorder])])[0]
        return end, recorder

    return run


@pytest.fixture(scope="module")
def fast(tiny_bundle: Bundle) -> Bundle:
    """The same model over half a second, so that real time costs little."""
    spec = tiny_bundle.contract.input.model_copy(update={"window_s": 0.5})
    contract: Contract = tiny_bundle.contract.model_copy(update={"input": spec, "hop_s": 0.05})
    return replace(tiny_bundle, contract=contract)


@pytest.fixture
def scene(noisy: Callable[..., np.ndarray]) -> list[Step]:
    return [Show(list(noisy(30, 60)), 10), Show(list(noisy(30, 190)), 10), Show(list(noisy(30, 60, 1)), 10)]


def without_latency(records: list[Record]) -> list[Record]:
    return [replace(record, latency_ms=0.0) if isinstance(record, WindowResult) else record for record in records]


def test_a_recording_gives_start_windows_events_end(
    watch: Callable[..., Any], scene: list[Step], tiny_bundle: Bundle
) -> None:
    end, recorder = watch(ScriptedSource(scene, live=False, name="room"))
    start, *between, last = recorder.records
    assert isinstance(start, Start)
    assert last is end
    assert all(isinstance(record, WindowResult | Event) for record in between)
    assert [window.window for window in recorder.of(WindowResult)] == list(range(36))
    assert [event.phase for event in recorder.of(Event) if event.label == "falling"][:1] == ["start"]
    assert (start.camera, start.model, start.backend, start.precision) == ("room", "tiny", "onnxruntime", "f32")
    assert (start.model_digest, start.fallback, start.calibrated) == (tiny_bundle.digest, False, True)
    assert (end.reason, end.failed, end.frames, end.dropped) == ("end_of_stream", False, 90, {})
    assert recorder.frames == list(range(90))
    assert recorder.final == list(range(90))
    assert recorder.closed == 1


def test_another_class_than_the_one_shown_can_be_explained(
    watch: Callable[..., Any], scene: list[Step], tiny_bundle: Bundle, explainer: Explainer
) -> None:
    asked = watch(ScriptedSource(scene, live=False), target_class="headache")[1].of(WindowResult)
    plain = watch(ScriptedSource(scene, live=False))[1].of(WindowResult)
    for one, other in zip(asked, plain, strict=True):
        assert (one.label, one.probabilities) == (other.label, other.probabilities)
        assert (one.explained_class, other.explained_class) == ("headache", other.label)
    given: list[int] = []

    class Noting(Explainer):
        def __init__(self) -> None:
            self.method = explainer.method

        def __call__(self, pictures: np.ndarray, class_index: int = -1, window: int = 0) -> Explanation:
            given.extend((class_index, window))
            return explainer(pictures, class_index, window)

    watch(ScriptedSource(scene, live=False), explain=Noting(), target_class="headache")
    assert given[::2] == [tiny_bundle.contract.classes.index("headache")] * len(asked)
    assert given[1::2] == list(range(len(asked)))


def test_a_window_is_recorded_before_the_events_it_brings_about(watch: Callable[..., Any], scene: list[Step]) -> None:
    _, recorder = watch(ScriptedSource(scene, live=False))
    newest_s = -1.0
    for record in recorder.records:
        if isinstance(record, WindowResult):
            newest_s = record.t_end_s
        if isinstance(record, Event):
            assert record.t_end_s <= newest_s


def test_the_same_recording_gives_the_same_records(watch: Callable[..., Any], scene: list[Step]) -> None:
    one, other = (watch(ScriptedSource(scene, live=False))[1] for _ in range(2))
    assert without_latency(one.records) == without_latency(other.records)


def test_a_camera_and_a_file_with_the_same_frames_give_the_same_records(
    watch: Callable[..., Any], scene: list[Step]
) -> None:
    recorded, live = (watch(ScriptedSource(scene, live=live))[1] for live in (False, True))
    assert without_latency(recorded.records) == without_latency(live.records)


def test_windows_due_are_done_invalid_or_shed(watch: Callable[..., Any], noisy: Callable[..., np.ndarray]) -> None:
    pictures = list(noisy(64, 190))
    script = [Show(pictures, 10, 2.5), Gap(1.0), Show(pictures, 10, 2.5), Freeze(1.5, 10), Black(0.3, 10)]
    end, recorder = watch(ScriptedSource(script, live=True))
    windows = recorder.of(WindowResult)
    assert end.windows.due == len(windows) == end.windows.done + end.windows.invalid + end.windows.shed
    assert end.windows.done == sum(window.valid for window in windows) > 0
    assert {window.reason for window in windows} == {None, "gap", "frozen", "black"}


def test_a_source_that_fails_on_the_way_leaves_complete_records(
    watch: Callable[..., Any], noisy: Callable[..., np.ndarray]
) -> None:
    for live in (False, True):
        script = [Show(list(noisy(40, 190)), 10), Fail(SourceStalledError("Camera door gives no frames."))]
        end, recorder = watch(ScriptedSource(script, live=live))
        assert (end.failed, end.reason, end.frames) == (True, "Camera door gives no frames.", 40)
        assert recorder.records[-1] is end
        assert len(recorder.of(WindowResult)) == end.windows.due == 11
        assert [event.phase for event in recorder.of(Event)][-1:] == ["end"]
        assert recorder.final == list(range(40))
        assert recorder.closed == 1


@pytest.mark.parametrize("live", [False, True], ids=["file", "camera"])
def test_a_source_that_fails_before_its_first_frame_raises_and_writes_nothing(
    watch: Callable[..., Any], tiny_bundle: Bundle, backend: Backend, explainer: Explainer, live: bool
) -> None:
    recorder = Recorder()
    source = ScriptedSource([Fail(SourceConnectError("Nobody answers."))], live=live)
    with pytest.raises(SourceConnectError, match="Nobody answers"):
        Runtime(tiny_bundle, backend, explainer).watch([CameraSpec(source, None, [recorder])])
    assert recorder.records == []


@pytest.mark.parametrize("live", [False, True], ids=["file", "camera"])
@pytest.mark.parametrize(
    "error", [ConfigError("The disk is full."), ZeroDivisionError()], ids=lambda e: type(e).__name__
)
def test_a_sink_that_fails_ends_the_run_and_lets_go_of_the_source(
    tiny_bundle: Bundle,
    backend: Backend,
    explainer: Explainer,
    noisy: Callable[..., np.ndarray],
    error: Exception,
    live: bool,
) -> None:
    class Full(Recorder):
        discarded = 0

        def frame(self, frame: Frame, region: object) -> None:
            if frame.index == 25:
                raise error

        def discard(self) -> None:
            self.discarded += 1

    class Closing(ScriptedSource):
        closed = False

        def close(self) -> None:
            super().close()
            self.closed = True

    sink, threads = Full(), threading.active_count()
    source = Closing([Show(list(noisy(60, 190)), 10)], live=live)
    with pytest.raises(type(error)) as raised:
        Runtime(tiny_bundle, backend, explainer).watch([CameraSpec(source, None, [sink])])
    assert raised.value is error  # and not a source that failed
    assert (sink.discarded, sink.closed, sink.of(End)) == (1, 0, [])
    assert source.closed
    assert threading.active_count() == threads


def test_a_stream_without_frames_starts_and_ends(watch: Callable[..., Any]) -> None:
    end, recorder = watch(ScriptedSource([], live=False))
    assert [type(record) for record in recorder.records] == [Start, End]
    assert (end.frames, end.windows.due) == (0, 0)


def test_a_short_recording_is_one_window(watch: Callable[..., Any], noisy: Callable[..., np.ndarray]) -> None:
    end, recorder = watch(ScriptedSource([Show(list(noisy(7, 190)), 10)], live=False))
    assert (end.frames, end.windows.due, end.windows.done) == (7, 1, 1)
    assert recorder.of(WindowResult)[0].label == "falling"


@pytest.mark.parametrize("live", [False, True], ids=["file", "camera"])
def test_stopping_finishes_and_writes_what_was_read(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, noisy: Callable[..., np.ndarray], live: bool
) -> None:
    stop = threading.Event()

    class StopsAfter30(Recorder):
        def frame(self, frame: Frame, region: object) -> None:
            super().frame(frame, region)
            if frame.index == 29:
                stop.set()

    recorder = StopsAfter30()
    source = ScriptedSource([Show(list(noisy(60, 190)), 10)], live=live)
    end = Runtime(tiny_bundle, backend, explainer, stop=stop).watch([CameraSpec(source, None, [recorder])])[0]
    assert (end.reason, end.failed, end.frames) == ("stopped", False, 30)
    assert end.windows.due == len(recorder.of(WindowResult)) == 6
    assert recorder.final == list(range(30))
    assert source.read() is None


class Slow:
    """The real explainer after a wait."""

    def __init__(self, explainer: Explainer, wait: Callable[[], object]) -> None:
        self._explainer, self._wait = explainer, wait
        self.method = explainer.method

    def __call__(self, frames: np.ndarray, class_index: int = -1, window: int = 0) -> Explanation:
        self._wait()
        return self._explainer(frames)


class Ending(ScriptedSource):
    """Says when it has been read to its end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.read_to_its_end = threading.Event()

    def read(self) -> Frame | None:
        frame = super().read()
        if frame is None:
            self.read_to_its_end.set()
        return frame


def test_a_camera_is_read_while_the_model_is_busy_and_what_was_lost_is_counted(
    watch: Callable[..., Any], explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    source = Ending([Show(list(noisy(64, 190)), 30, 20.0)], live=True)
    on_time = []
    slow = Slow(explainer, lambda: on_time.append(source.read_to_its_end.wait(20)))
    end, recorder = watch(source, explain=slow)
    assert all(on_time)
    assert end.dropped["slow"] > 0
    assert end.frames + end.dropped["slow"] == 600
    assert recorder.frames == sorted(set(recorder.frames))
    assert end.windows.invalid > 0
    assert end.windows.due == end.windows.done + end.windows.invalid + end.windows.shed


def test_a_model_that_is_too_slow_for_a_camera_sheds_windows_and_says_so(
    watch: Callable[..., Any], fast: Bundle, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    source = ScriptedSource([Show(list(noisy(40, 190)), 40)], live=True, realtime=True)
    end, recorder = watch(source, explain=Slow(explainer, lambda: time.sleep(0.12)), bundle=fast)
    shed = [window for window in recorder.of(WindowResult) if window.reason == "shed"]
    assert end.windows.shed == len(shed) > 0
    assert end.windows.due == end.windows.done + end.windows.invalid + end.windows.shed == 11
    assert end.frames == 40
    assert all(not window.valid and window.label is None for window in shed)


def test_a_recording_is_never_shed_however_slow_the_model(
    watch: Callable[..., Any], fast: Bundle, explainer: Explainer, noisy: Callable[..., np.ndarray]
) -> None:
    source = ScriptedSource([Show(list(noisy(24, 190)), 40)], live=False)
    end, _ = watch(source, explain=Slow(explainer, lambda: time.sleep(0.06)), bundle=fast)
    assert (end.windows.due, end.windows.done) == (3, 3)


def test_the_hop_can_be_chosen(watch: Callable[..., Any], noisy: Callable[..., np.ndarray]) -> None:
    end, _ = watch(ScriptedSource([Show(list(noisy(40, 190)), 10)], live=False), hop_s=1.0)
    assert end.windows.due == 3
