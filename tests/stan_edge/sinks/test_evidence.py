"""Evidence beside a run: the camera never waits for it, and a disk that fails costs nothing but the evidence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.faults.small_disk import fill
from stan_edge.backends.base import Backend
from stan_edge.errors import SourceStalledError
from stan_edge.evidence.pack import ABOUT, CLIP, MAPS, RECORDS
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import CONTRACT, Bundle
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.predictor import Explainer
from stan_edge.retention import Retention
from stan_edge.sinks import evidence
from stan_edge.sinks.evidence import WAITING_CASES, Evidence
from stan_edge.sources import Frame
from stan_edge.sources.scripted import Fail, Gap, ScriptedSource, Show
from tests.conftest import wait_until
from tests.stan_edge.evidence.conftest import changed
from tests.stan_edge.sinks.conftest import START, an_event


@pytest.fixture
def make(eager_bundle: Bundle, tmp_path: Path) -> Callable[..., Evidence]:
    def start(folder: Path | None = None, around_s: float = 5.0) -> Evidence:
        return Evidence(folder or tmp_path / "evidence", eager_bundle, "none", around_s, Retention())

    return start


@pytest.fixture
def watch(
    make: Callable[..., Evidence],
    eager_bundle: Bundle,
    backend: Backend,
    explainer: Explainer,
    noisy: Callable[..., np.ndarray],
) -> Callable[..., Evidence]:
    """Runs a room in which the light goes on, and then what follows; gives the sink."""

    def run(*then: Show | Gap | Fail, live: bool = False, **options: float) -> Evidence:
        sink = make(**options)
        script = [Show([*noisy(15, 60), *noisy(30, 190)], 10), *then]
        Runtime(eager_bundle, backend, explainer).watch(
            [CameraSpec(ScriptedSource(script, live=live, name="room"), None, [sink])]
        )
        return sink

    return run


@pytest.fixture
def pictures(noisy: Callable[..., np.ndarray]) -> np.ndarray:
    return noisy(20, 128, 0, 120, 160)


def packs_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def alarm(sink: Evidence, number: int, pictures: np.ndarray, *, to_s: float) -> float:
    """Ten seconds with an event in them, up to `to_s`; returns the longest time that a frame took."""
    longest_s = 0.0
    for k in range(100):
        t_s = to_s - 10 + k / 10
        if k == 20:
            sink.record(replace(an_event(number, "start"), t_start_s=t_s, t_end_s=t_s))
        if k == 30:
            sink.record(replace(an_event(number, "end"), t_start_s=to_s - 8, t_end_s=t_s))
        began_s = time.perf_counter()
        sink.frame(Frame(round(t_s * 10), t_s, pictures[k % len(pictures)]), NOBODY)
        longest_s = max(longest_s, time.perf_counter() - began_s)
    return longest_s


@pytest.mark.parametrize("live", [False, True], ids=["file", "camera"])
@pytest.mark.parametrize("script_ends", [[], [Fail(SourceStalledError("gone"))]], ids=["at the end", "when it fails"])
def test_a_run_leaves_a_whole_pack_for_each_event(
    watch: Callable[..., Evidence],
    eager_bundle: Bundle,
    noisy: Callable[..., np.ndarray],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    live: bool,
    script_ends: list[Fail],
) -> None:
    sink = watch(Show(list(noisy(70, 60, 1)), 10), *script_ends, live=live, around_s=2.0)
    assert (caplog.messages, sink.lost) == ([], 0)
    found = packs_in(tmp_path / "evidence")
    assert len(found) == sink.written > 0
    for pack in found:
        assert changed(pack) == []
        about = json.loads((pack / ABOUT).read_text())
        lines = [json.loads(line) for line in (pack / RECORDS).read_text().splitlines()]
        last = [line for line in lines if line["type"] == "event"][-1]
        assert lines[0]["type"] == "start"
        assert (about["event"], about["label"], about["t_end_s"]) == (last["id"], last["label"], last["t_end_s"])
        assert (last["phase"], about["ended"]) == ("end", True)
        assert (pack / CONTRACT).read_bytes() == (eager_bundle.folder / CONTRACT).read_bytes()
        important = {frame["index"] for frame in last["important_frames"]}
        assert {int(path.stem[6:]) for path in pack.glob("frame-*.jpg")} == important
        assert {int(path.stem[5:]) for path in pack.glob("heat-*.jpg")} == important != set()
        maps = np.load(pack / MAPS)
        assert maps["maps"].shape[:2] == maps["frames"].shape == (len(maps["windows"]), 20)
        assert important <= set(maps["frames"].ravel())
        clip = cv2.VideoCapture(str(pack / CLIP))
        assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == about["clip"]["frames"]
        assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
        assert about["clip"]["t_start_s"] == pytest.approx(max(about["t_start_s"] - 2, 0), abs=0.11)
        assert (about["at"] is not None) == live
        if live:
            assert datetime.fromisoformat(about["at"]).utcoffset() is not None
            assert f"{datetime.fromisoformat(about['at']):%Y%m%dT%H%M%S%z}" in pack.name
        else:
            assert f"{about['t_start_s']:09.3f}s" in pack.name


def test_a_recording_run_again_keeps_its_packs_and_says_so(
    watch: Callable[..., Evidence], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = []
    for _ in range(2):
        watch()
        names.append([path.name for path in packs_in(tmp_path / "evidence")])
    assert names[0] == names[1] != []
    (sentence,) = caplog.messages
    assert f"{len(names[0])} of the events were there already" in sentence


def test_a_gap_in_a_clip_takes_its_time(
    watch: Callable[..., Evidence], noisy: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    watch(Gap(1.5), Show(list(noisy(40, 60, 1)), 10))
    spanning = 0
    for pack in packs_in(tmp_path / "evidence"):
        clip = json.loads((pack / ABOUT).read_text())["clip"]
        shown = cv2.VideoCapture(str(pack / CLIP)).get(cv2.CAP_PROP_FRAME_COUNT)
        assert shown == round((clip["t_end_s"] - clip["t_start_s"]) * 10) + 1
        spanning += shown >= clip["frames"] + 15
    assert spanning


def test_a_full_disk_is_said_once_costs_no_run_and_leaves_nothing_half_written(
    small_disk: Path, make: Callable[..., Evidence], pictures: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "evidence"
    sink = make(folder)
    sink.record(START)
    alarm(sink, 0, pictures, to_s=10)
    wait_until(lambda: sink.written == 1)
    filling = fill(small_disk)
    for number in (1, 2):
        alarm(sink, number, pictures, to_s=10 + 10 * number)
        wait_until(lambda number=number: sink.lost == number)  # type: ignore[misc]
    assert len(caplog.messages) == 1
    assert "No space left on device" in caplog.messages[0]
    assert [path.name[:1] for path in folder.iterdir()] == ["c"]
    filling.unlink()
    alarm(sink, 3, pictures, to_s=40)
    sink.close()
    assert caplog.messages[1:] == [f"evidence {folder}: can be written again; 2 events are missing."]
    assert (sink.written, sink.lost) == (2, 2)
    assert [changed(pack) for pack in packs_in(folder)] == [[], []]


def test_a_disk_that_hangs_holds_up_no_camera(
    make: Callable[..., Evidence],
    pictures: np.ndarray,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released, real = threading.Event(), evidence.write_pack

    def hang(*arguments: object) -> None:
        released.wait(60)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(evidence, "write_pack", hang)
    monkeypatch.setattr(evidence, "FLUSH_S", 0.5)
    sink = make()
    sink.record(START)
    events = WAITING_CASES + 4
    longest_s = max(alarm(sink, number, pictures, to_s=10 + 10 * number) for number in range(events))
    assert longest_s < 0.25
    assert sink.lost > 0
    began_s = time.monotonic()
    sink.close()
    assert time.monotonic() - began_s < 3
    assert "the disk is too slow" in caplog.messages[0]
    assert "is stuck and was left behind" in caplog.messages[-1]
    released.set()
    wait_until(lambda: not sink._worker.alive)
    assert sink.written + sink.lost == events


def test_an_event_of_a_camera_that_is_lost_is_written_before_it_is_back(
    make: Callable[..., Evidence], pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "SILENT_S", 0.1)
    sink = make(around_s=0.5)
    sink.record(START)
    for k in range(30):
        sink.frame(Frame(k, k / 10, pictures[k % len(pictures)]), NOBODY)
    sink.record(replace(an_event(0, "start"), t_start_s=2.0, t_end_s=2.5))
    sink.record(replace(an_event(0, "end"), t_start_s=2.0, t_end_s=2.8))
    sink.turn({})
    assert sink.written == 0
    time.sleep(0.7)
    sink.turn({})
    wait_until(lambda: sink.written == 1)
    sink.close()


def test_memory_is_bounded_by_the_ring_however_long_it_runs(
    make: Callable[..., Evidence], pictures: np.ndarray
) -> None:
    sink = make(around_s=1.0)
    sink.record(START)
    held = []
    for k in range(2000):
        sink.frame(Frame(k, k / 10, pictures[k % len(pictures)]), NOBODY)
        if k % 500 == 499:
            held.append(sink._collector._ring.used_bytes)
    assert max(held) <= 1.05 * held[0]
    sink.close()
