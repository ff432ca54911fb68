from __future__ import annotations

import io
import json
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceConnectError, SourceStalledError
from stan_edge.live.runtime import Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.records import End, Load, Status, WindowCounts
from stan_edge.sinks.base import Sink
from stan_edge.sinks.console import ConsoleView, Screen
from stan_edge.sinks.display import Display
from stan_edge.sinks.failures import Failures
from stan_edge.sinks.json_lines import JsonLines
from stan_edge.sinks.overlay import STRIP_PX, WIDTH_PX, OverlayVideo
from stan_edge.sinks.timeline_picture import TimelinePicture
from stan_edge.sources import Fail, ScriptedSource, Show
from stan_edge.sources.scripted import Step
from tests.stan_edge.sinks.conftest import START, a_window, an_event

FAILS = Fail(SourceStalledError("Camera door gives no frames."))
FRAMES = 45


@pytest.fixture(scope="module")
def scene(noisy: Callable[..., np.ndarray]) -> list[Step]:
    return [Show([*noisy(15, 60), *noisy(30, 190)], 10)]


@pytest.fixture
def play(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> Callable[..., None]:
    def run(script: Sequence[Step], *sinks: Sink, live: bool = False) -> None:
        Runtime(tiny_bundle, backend, explainer, sinks).run(ScriptedSource(script, live=live, name="room"), None)

    return run


def frames_of(path: Path) -> list[np.ndarray]:
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = video.read()
        if not ok:
            return frames
        frames.append(frame)


def test_json_lines_are_one_record_each(play: Callable[..., None], scene: list[Step]) -> None:
    out = io.StringIO()
    play(scene, JsonLines(out, live=False))
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [records[0]["type"], records[-1]["type"]] == ["start", "end"]
    assert {record["type"] for record in records} == {"start", "window", "event", "end"}
    assert all("at" not in record for record in records)
    assert records[-1]["windows"]["due"] == sum(record["type"] == "window" for record in records)


def test_json_lines_of_a_camera_say_when(play: Callable[..., None], scene: list[Step]) -> None:
    out = io.StringIO()
    play(scene, JsonLines(out, live=True), live=True)
    assert all(json.loads(line)["at"].endswith("+00:00") for line in out.getvalue().splitlines())


@pytest.mark.parametrize("script_ends", [[], [FAILS]], ids=["at the end", "when the camera fails"])
def test_an_overlay_video_holds_every_frame_that_was_shown(
    play: Callable[..., None], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path, script_ends: list[Step]
) -> None:
    path = tmp_path / "seen.mp4"
    play([*scene, *script_ends], OverlayVideo(path, tiny_bundle.contract, "vanilla"))
    frames = frames_of(path)
    assert len(frames) == FRAMES
    assert frames[0].shape == (WIDTH_PX + STRIP_PX, WIDTH_PX, 3)
    assert frames[5][200:400].mean() < frames[40][200:400].mean()
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert [file.name for file in tmp_path.iterdir()] == ["seen.mp4"]


def test_a_timeline_picture_can_be_looked_at(
    play: Callable[..., None], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "timeline.png"
    play(scene, TimelinePicture(path, tiny_bundle.contract, "vanilla"))
    picture = cv2.imread(str(path))
    assert picture.shape[1] == 1280
    red = (picture == (52, 64, 235)).all(axis=-1)
    assert red[30:54].any()
    assert [file.name for file in tmp_path.iterdir()] == ["timeline.png"]


def test_a_run_that_never_saw_a_frame_leaves_nothing_behind(
    play: Callable[..., None], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    sinks = (
        OverlayVideo(tmp_path / "seen.mp4", tiny_bundle.contract, "vanilla"),
        TimelinePicture(tmp_path / "timeline.png", tiny_bundle.contract, "vanilla"),
    )
    with pytest.raises(SourceConnectError):
        play([Fail(SourceConnectError("Nobody answers."))], *sinks)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sink", "name", "says"),
    [
        (OverlayVideo, "seen.avi", r"seen\.avi: only \.mp4"),
        (OverlayVideo, "nowhere/seen.mp4", r"nowhere does not exist"),
        (TimelinePicture, "timeline.jpg", r"timeline\.jpg: only \.png"),
        (TimelinePicture, "nowhere/timeline.png", r"nowhere does not exist"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_by_its_field(
    tiny_bundle: Bundle, tmp_path: Path, sink: type, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        sink(tmp_path / name, tiny_bundle.contract, "vanilla")
    assert refused.value.field == {OverlayVideo: "pictures.video", TimelinePicture: "pictures.timeline"}[sink]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: none of this process, so that nothing else may be written meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("sink", "name", "says"),
    [
        (OverlayVideo, "seen.mp4", r"seen\.mp4 cannot be written .*; make room"),
        (TimelinePicture, "timeline.png", r"timeline\.png cannot be written \(.+\); make room"),
    ],
)
def test_a_full_disk_is_an_error_and_leaves_nothing_behind(
    play: Callable[..., None], scene: list[Step], tiny_bundle: Bundle, tmp_path: Path, sink: type, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says), full_disk():
        play(scene, sink(tmp_path / name, tiny_bundle.contract, "vanilla"))
    assert list(tmp_path.iterdir()) == []


def test_piped_output_is_a_headline_a_line_per_event_and_a_summary(
    play: Callable[..., None], scene: list[Step], tiny_bundle: Bundle
) -> None:
    out = io.StringIO()
    play([*scene, FAILS], ConsoleView(Console(file=out, width=200), tiny_bundle.contract, "vanilla"))
    first, *events, last = out.getvalue().splitlines()
    assert first == "room  tiny on onnxruntime f32, vanilla, blend view"
    assert len(events) == 2
    assert all("falling" in line and "important frames" in line for line in events)
    assert events[0].endswith("...")
    assert last == "45 frames, 13 of 13 windows explained; Camera door gives no frames."


def test_on_a_terminal_the_view_is_redrawn_and_the_summary_stays(
    play: Callable[..., None], scene: list[Step], tiny_bundle: Bundle
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    play(scene, ConsoleView(console, tiny_bundle.contract, "vanilla"))
    assert "13 of 13 windows explained; end of stream" in out.getvalue()
    assert "falling" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_what_happens_to_the_camera_is_said(tiny_bundle: Bundle, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=terminal, color_system=None)
    view = ConsoleView(console, tiny_bundle.contract, "vanilla")
    view.record(START)
    view.record(Status("room", "lost", "room cannot be reached [Errno 111].", 0, 12.5))
    view.record(Status("room", "online", None, 3, 20.0))
    view.close()
    assert "12.5 s  camera lost: room cannot be reached [Errno 111]." in out.getvalue()
    assert "20.0 s  camera online (attempt 3)" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_on_one_console_every_line_says_which_camera_it_is_of(tiny_bundle: Bundle, terminal: bool) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=200, force_terminal=terminal, color_system=None), several=True)
    views = {name: ConsoleView(screen, tiny_bundle.contract, "vanilla") for name in ("door", "yard")}
    for name, view in views.items():
        view.record(replace(START, camera=name))
        view.record(replace(a_window(0), camera=name))
    if terminal:
        screen._live.refresh()
        assert out.getvalue().count("tiny on onnxruntime f32") >= 2
    views["yard"].record(Status("yard", "lost", "yard cannot be reached.", 0, 12.5))
    views["yard"].record(Load("yard", "explain_every_second", "gradcam", "windows were late for 1 s", 20.0))
    views["door"].record(replace(an_event(0, "end"), camera="door"))
    views["door"].record(End("door", "stopped", 90, WindowCounts(20, 1, 2, 7)))
    views["door"].close()
    views["yard"].record(Load("yard", "full", "vanilla", "there was room for 10 s", 60.0))
    views["yard"].record(End("yard", "yard is gone.", 30, WindowCounts(5), failed=True))
    views["yard"].close()
    for line in (
        "yard     12.5 s  camera lost: yard cannot be reached.",
        "yard     20.0 s  windows were late for 1 s: every second window is explained by gradcam",
        "door  ○ falling  3.1 to 4.9 s",
        "door  90 frames, 13 of 23 windows explained, 7 only labelled, 1 invalid, 2 shed; stopped",
        "yard     60.0 s  there was room for 10 s: every window is explained by vanilla",
        "yard  30 frames, 5 of 5 windows explained; yard is gone.",
    ):
        assert line in out.getvalue(), line


def test_a_camera_that_failed_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Failures()
    end = End("door", "stopped", 90, WindowCounts())
    sink.record(end)
    assert caplog.messages == []
    sink.record(replace(end, failed=True, reason="door cannot be reached."))
    assert caplog.messages == ["door cannot be reached."]


def test_a_display_without_a_screen_is_refused_by_its_field(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match="There is no screen") as refused:
        Display(tiny_bundle.contract, "vanilla", threading.Event())
    assert refused.value.field == "pictures.display"
