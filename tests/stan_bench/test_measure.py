from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from stan_bench.measure import Recording, measure_camera
from stan_bench.pure import WARM_UP_RUNS, recorded_windows
from stan_bench.result import BenchReport, process_age_s
from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceConnectError
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.sources import Crop
from stan_train.manifest import Clip


class Wrapped(Explainer):
    """A real explainer that takes its time, and notices when two runtimes are in it at once."""

    def __init__(self, explainer: Explainer, takes_s: float) -> None:
        self.method = explainer.method
        self._explainer, self._takes_s = explainer, takes_s
        self._inside = threading.Semaphore(1)
        self.shared = False

    def __call__(self, pictures: np.ndarray, class_index: int = -1, window: int = 0) -> Explanation:
        self.shared |= not self._inside.acquire(blocking=False)
        time.sleep(self._takes_s)
        try:
            return self._explainer(pictures, class_index, window)
        finally:
            self._inside.release()


def test_every_window_of_every_camera_is_accounted_for(camera_report: BenchReport) -> None:
    measured = camera_report.measured
    assert [len(camera.windows) for camera in measured.cameras] == [6, 6]
    counts = measured.windows
    assert counts["due"] == 12 == counts["done"] + counts["shed"] + counts["invalid"]
    assert (counts["invalid"], measured.frames) == (0, 60)
    assert measured.video_s == pytest.approx(5.8, abs=0.01)
    assert measured.wall_s >= 2.9  # the recording's own pace
    explained = len(measured.stages_ms["explain"]) + len(measured.warm_up_ms["explain"])
    assert explained == counts["done"]


def test_latencies_are_those_of_the_windows_after_the_warm_up(camera_report: BenchReport) -> None:
    measured = camera_report.measured
    for camera in measured.cameras:
        timed = [window.latency_ms for window in camera.windows[5:] if window.latency_ms is not None]
        assert camera.latency_ms == timed
        assert all(latency_ms > 0 for latency_ms in timed)
    assert sorted(measured.stages_ms["window"]) == sorted(ms for camera in measured.cameras for ms in camera.latency_ms)
    warm = [w.latency_ms for camera in measured.cameras for w in camera.windows[:5] if w.latency_ms is not None]
    assert measured.warm_up_ms["window"] == warm
    assert {"decode", "region", "view", "explain", "conclude", "queue"} <= set(measured.stages_ms)


def test_a_result_takes_at_least_as_long_as_its_explanation(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path
) -> None:
    slow = Wrapped(explainer, 0.3)  # a hop is 0.2 s
    measured = measure_camera(tiny_bundle, backend, slow, Recording(clip, person=False))
    counts = measured.windows
    assert counts["due"] == 6
    assert counts["late"] == counts["done"] > 0
    assert counts["shed"] > 0
    assert all(window.latency_ms > 300 for window in measured.cameras[0].windows if window.latency_ms is not None)


def test_cameras_take_turns_at_the_engine(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path
) -> None:
    noticing = Wrapped(explainer, 0.03)
    measured = measure_camera(tiny_bundle, backend, noticing, Recording(clip, person=False), cameras=3)
    assert not noticing.shared
    assert len(measured.warm_up_ms["queue"]) == len(measured.warm_up_ms["explain"])
    queue, explain = (measured.warm_up_ms[name] + measured.stages_ms[name] for name in ("queue", "explain"))
    assert all(waited <= whole for waited, whole in zip(queue, explain, strict=True))


def test_the_first_result_is_reported_apart(camera_report: BenchReport) -> None:
    cold = camera_report.cold_start
    first = camera_report.measured.cameras[0].windows[0]
    assert cold.first_frame_s == pytest.approx(2.0)
    assert cold.first_result_s is not None
    assert cold.first_result_s >= 2.0 + 1.9  # a window is due when its last frame is captured
    assert cold.first_result_late_ms == first.latency_ms


@pytest.mark.slow
def test_plays_are_added_up(tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path) -> None:
    recording = Recording(clip, Crop(0, 0, 48, 48), person=False)
    measured = measure_camera(tiny_bundle, backend, explainer, recording, plays=2)
    assert (measured.windows["due"], measured.frames) == (12, 60)
    assert measured.wall_s >= 5.8


def test_a_recording_without_a_window_after_the_warm_up_is_refused(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, make_clip: Callable[..., Clip], tmp_path: Path
) -> None:
    short = make_clip(tmp_path / "short.mp4", [60] * 24)
    with pytest.raises(ConfigError, match="give a longer recording"):
        measure_camera(tiny_bundle, backend, explainer, Recording(short.path, person=False))


def test_the_first_camera_that_fails_stops_the_others(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path
) -> None:
    class Failing(Wrapped):
        def __call__(self, pictures: np.ndarray, class_index: int = -1, window: int = 0) -> Explanation:
            raise ConfigError("no.")

    with pytest.raises(ConfigError, match=r"no\."):
        measure_camera(tiny_bundle, backend, Failing(explainer, 0), Recording(clip, person=False), cameras=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceConnectError, match="does not exist"):
        Recording(tmp_path / "none.mp4").open()


def test_fast_keeps_every_raw_value_of_every_repetition_and_not_the_warm_up(fast_report: BenchReport) -> None:
    measured = fast_report.measured
    assert (measured.frames, measured.windows["done"]) == (60, 12)
    counts = {stage: len(values) for stage, values in measured.stages_ms.items()}
    assert counts == {"decode": 60, "region": 60, "view": 12, "explain": 12, "conclude": 12}
    assert {stage: 2 * len(values) for stage, values in measured.warm_up_ms.items()} == counts
    assert measured.video_s == pytest.approx(5.8, abs=0.01)
    assert measured.wall_s > 0
    assert all(window.latency_ms is None for camera in measured.cameras for window in camera.windows)


def test_pure_times_forward_and_explanation_as_often(pure_report: BenchReport, tiny_bundle: Bundle) -> None:
    measured = pure_report.measured
    runs = 3 * len(recorded_windows(tiny_bundle))
    assert {stage: len(values) for stage, values in measured.stages_ms.items()} == {"forward": runs, "explain": runs}
    assert {len(values) for values in measured.warm_up_ms.values()} == {WARM_UP_RUNS}
    assert all(value > 0 for values in measured.stages_ms.values() for value in values)
    assert measured.cameras == ()


def test_a_report_says_under_which_conditions_it_was_measured(
    camera_report: BenchReport, tiny_bundle: Bundle, clip: Path
) -> None:
    conditions = camera_report.conditions
    assert conditions["model_digest"] == tiny_bundle.digest
    assert (conditions["precision"], conditions["method"], conditions["mode"]) == ("f32", "vanilla", "camera")
    assert (conditions["source"], conditions["cameras"], conditions["person"]) == (clip.name, "2", "off")
    assert camera_report.parity.passed


@pytest.mark.parametrize("kind", ["camera_report", "fast_report", "pure_report"])
def test_a_report_is_json_with_raw_values_intervals_and_parity(kind: str, request: pytest.FixtureRequest) -> None:
    report: BenchReport = request.getfixturevalue(kind)
    kept = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert kept["stages_ms"] == report.measured.stages_ms
    assert kept["percentiles_ms"]["explain"]["p50"] == np.percentile(report.measured.stages_ms["explain"], 50)
    assert kept["percentiles_ms"]["explain"]["p99"] is None
    assert set(kept["intervals_ms"]["explain"]) == {"p50", "p90", "p95", "p99"}
    assert kept["parity"]["passed"] is True
    assert kept["placement"]["providers"] == {"CPUExecutionProvider": sum(kept["placement"]["kernels"].values())}
    assert set(kept["windows"]) == {"due", "done", "late", "shed", "invalid"}
    assert "first_frame_s" not in kept
    if kind == "camera_report":
        assert kept["cameras"][0]["windows"][0]["state"] in ("done", "late", "shed")


def test_the_age_of_a_process_is_counted_from_its_start() -> None:
    before = process_age_s()
    assert before == pytest.approx(time.time() - psutil.Process().create_time(), abs=2.0)
    code = "import time; time.sleep(0.2); from stan_bench.result import process_age_s; print(process_age_s())"
    started_s = time.monotonic()
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.2 <= float(child.stdout) <= time.monotonic() - started_s + 0.02  # ticks of 10 ms
    assert process_age_s() > before


def test_frames_before_the_sixth_window_are_warm_up(camera_report: BenchReport) -> None:
    measured = camera_report.measured
    assert len(measured.warm_up_ms["decode"]) + len(measured.stages_ms["decode"]) == 60
    assert len(measured.warm_up_ms["decode"]) >= 2 * 28
