from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stan_bench.against import against
from stan_bench.camera import WindowTiming
from stan_bench.compare import compare
from stan_bench.output import markdown, print_sections
from stan_bench.plot import WIDTH_PX, draw_comparison, draw_report
from stan_bench.result import WHAT, BenchReport
from stan_bench.sections import of_against, of_comparison, of_report
from stan_edge.model.bundle import Bundle
from stan_edge.reports.drawing import GREEN, RED

REPORTS = ["camera_report", "fast_report", "pure_report"]
HOP_S = 0.2


@pytest.mark.parametrize("kind", REPORTS)
def test_speed_is_never_shown_without_parity_and_without_what_was_measured(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    report: BenchReport = request.getfixturevalue(kind)
    section = of_report(report)
    print_sections([section])
    printed, page = capsys.readouterr().out, markdown([section], "stan-edge bench")
    for text in (printed, page):
        assert WHAT[report.mode] in text
        assert "onnxruntime f32 vanilla reproduces float64" in text
        assert "CPUExecutionProvider" in text
        assert "p99 is left out under 1000 values" in text
        assert "warm-up" in text
    missed = replace(report, parity=replace(report.parity, map_error=float("nan")))
    assert "REFUSED" in of_report(missed).facts["parity"]


def test_a_screen_of_80_columns_loses_nothing(
    camera_report: BenchReport, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_sections([of_report(camera_report)])
    printed = capsys.readouterr().out
    assert "…" not in printed
    for word in ("capture to result", "wait for engine", "camera 2", "p99", "max", "frames lost", "no batching"):
        assert word in printed


def test_markdown_has_as_many_cells_as_columns(camera_report: BenchReport) -> None:
    compared = against(Path("old.json"), camera_report.to_json(), camera_report)
    page = markdown([of_report(camera_report), of_against(compared)], "stan-edge bench --cameras 2")
    assert "Command: `stan-edge bench --cameras 2`" in page
    columns = 0
    for line in page.splitlines():
        if line.startswith("|---"):
            columns = line.count("|")
        elif line.startswith("|") and columns:
            assert line.count("|") == columns
        elif not line:
            columns = 0


def test_the_comparison_fits_a_screen_of_80_columns(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = compare(tiny_bundle, ("smoothgrad",), backends=("onnxruntime",), rounds=6)
    print_sections([of_comparison(found)])
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "smoothgrad" in printed
    picture = draw_comparison(found)
    assert picture.shape[1] == WIDTH_PX


def test_a_picture_shows_what_became_of_the_windows(camera_report: BenchReport) -> None:
    windows = (WindowTiming(1.9, "done", 50.0), WindowTiming(2.1, "done", 60.0))
    camera = camera_report.measured.cameras[0]
    measured = replace(camera_report.measured, cameras=(replace(camera, windows=windows),))
    calm = draw_report(replace(camera_report, measured=measured), HOP_S)
    shed = replace(measured, cameras=(replace(camera, windows=(*windows, WindowTiming(2.3, "shed", None))),))
    busy = draw_report(replace(camera_report, measured=shed), HOP_S)
    assert calm.shape == busy.shape
    assert pixels(busy, RED) > pixels(calm, RED) + 10
    assert pixels(calm, GREEN) > 0


@pytest.mark.parametrize("kind", REPORTS)
def test_every_kind_of_measurement_can_be_drawn(kind: str, request: pytest.FixtureRequest) -> None:
    picture = draw_report(request.getfixturevalue(kind), HOP_S)
    assert picture.shape[1] == WIDTH_PX
    assert picture.std() > 5


def test_a_run_in_which_everything_was_shed_is_shown(camera_report: BenchReport) -> None:
    shed = tuple(WindowTiming(1.9 + 0.2 * k, "shed", None) for k in range(6))
    camera = replace(camera_report.measured.cameras[0], windows=shed, latency_ms=[])
    stages_ms = {"decode": [1.0], "region": [1.0], "explain": [], "window": []}
    measured = replace(camera_report.measured, cameras=(camera,), stages_ms=stages_ms, warm_up_ms={})
    report = replace(camera_report, measured=measured)
    assert "6 due: 0 done (0 of them late), 6 shed" in of_report(report).facts["windows"]
    assert pixels(draw_report(report, HOP_S), RED) > 100


def pixels(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=2).sum())
