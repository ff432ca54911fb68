from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.backends import Backend
from stan_edge.bench import BenchReport, measure, percentiles, print_report
from stan_edge.bundle import Bundle
from stan_edge.cli import bench
from stan_edge.errors import ConfigError
from stan_edge.explainer import Explainer


def test_a_99th_percentile_of_fewer_than_1000_values_is_left_out() -> None:
    assert percentiles([1.0] * 999)["p99"] is None
    assert percentiles([1.0] * 1000)["p99"] == 1.0


def test_percentiles_keep_the_tail() -> None:
    values = np.random.default_rng(0).permutation(np.arange(2001.0)).tolist()
    assert percentiles(values) == {"p50": 1000, "p90": 1800, "p95": 1900, "p99": 1980, "max": 2000}
    assert percentiles([1.0, 2.0, 900.0])["max"] == 900.0


@pytest.fixture(scope="module")
def report(
    tiny_bundle: Bundle, backend: Backend, explainer: Explainer, tmp_path_factory: pytest.TempPathFactory
) -> BenchReport:
    path: Path = tmp_path_factory.mktemp("bench") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for picture in np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8):
        writer.write(picture)
    writer.release()
    return measure(tiny_bundle, backend, explainer, str(path), None, 2, person=False)


def test_every_raw_value_of_every_repetition_is_kept_and_the_warm_up_is_not(report: BenchReport) -> None:
    assert (report.frames, report.windows) == (60, 12)
    counts = {stage: len(values) for stage, values in report.stages_ms.items()}
    assert counts == {"decode": 60, "region": 60, "view": 12, "explain": 12, "conclude": 12}
    assert report.video_s == pytest.approx(5.8, abs=0.01)
    assert report.wall_s > 0


def test_a_report_says_under_which_conditions_it_was_measured(report: BenchReport, tiny_bundle: Bundle) -> None:
    assert report.conditions["model_digest"] == tiny_bundle.digest
    assert report.conditions["precision"] == "f32"
    assert report.conditions["method"] == "vanilla"


def test_a_report_prints_as_json_with_raw_values_and_as_a_table(
    report: BenchReport, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["stages_ms"]["explain"] == report.stages_ms["explain"]
    assert printed["percentiles_ms"]["explain"]["p99"] is None
    print_report(report, as_json=False)
    table = capsys.readouterr().out
    assert "explain" in table
    assert "p99 is left out under 1000 values" in table


@pytest.mark.parametrize("spec", ["0", "/dev/video0", "rtsp://eve:secret@10.0.0.8/live"])
def test_a_camera_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="give bench a video file") as refused:
        bench.command(spec)
    assert "secret" not in str(refused.value)
