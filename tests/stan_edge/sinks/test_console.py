from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from stan_edge.errors import SourceStalledError
from stan_edge.model.bundle import Bundle
from stan_edge.records import End, Load, Status, WindowCounts
from stan_edge.sinks.base import Failures
from stan_edge.sinks.console import ConsoleView, Screen
from stan_edge.sources.scripted import Fail, Step
from tests.stan_edge.sinks.conftest import START, a_window, an_event

FAILS = Fail(SourceStalledError("Camera door gives no frames."))


def test_piped_output_is_a_headline_a_line_per_event_and_a_summary(
    run: Callable[..., object], scene: list[Step], tiny_bundle: Bundle
) -> None:
    out = io.StringIO()
    run([ConsoleView(Screen(Console(file=out, width=200)), tiny_bundle.contract, "vanilla")], *scene, FAILS, live=False)
    first, *events, last = out.getvalue().splitlines()
    assert first == "room  tiny on onnxruntime f32, vanilla, blend view"
    assert len(events) == 2
    assert all("falling" in line and "important frames" in line for line in events)
    assert events[0].endswith("...")
    assert last == "45 frames, 13 of 13 windows explained; Camera door gives no frames."


def test_on_a_terminal_the_view_is_redrawn_and_the_summary_stays(
    run: Callable[..., object], scene: list[Step], tiny_bundle: Bundle
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system=None)
    run([ConsoleView(Screen(console), tiny_bundle.contract, "vanilla")], *scene, live=False)
    assert "13 of 13 windows explained; end of stream" in out.getvalue()
    assert "falling" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_what_happens_to_the_camera_is_said(tiny_bundle: Bundle, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=terminal, color_system=None)
    view = ConsoleView(Screen(console), tiny_bundle.contract, "vanilla")
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
