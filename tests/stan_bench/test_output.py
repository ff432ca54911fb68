from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from stan_bench.against import against
from stan_bench.camera import WindowTiming
from stan_bench.compare import compare
from stan_bench.output import markdown, print_sections
from stan_bench.plot import draw_comparison, draw_report
from stan_bench.result import WHAT, BenchReport
from stan_bench.sections import in_order, of_against, of_comparison, of_report
from stan_edge.model.bundle import Bundle
from stan_edge.reports.charts import WIDTH_PX, render

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
    (axes,) = draw_comparison(found).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["onnxruntime f32 smoothgrad"]
    assert [bar.get_width() for bar in axes.patches] == [
        found.rows[0].forward_median_ms,
        found.rows[0].explain_median_ms,
    ]
    assert axes.get_xlabel() == "time (ms)"
    refused = replace(found.rows[0], forward_ms=[], explain_ms=[], refusal="maps off by 0.1")
    (axes,) = draw_comparison(replace(found, rows=(refused,))).axes
    assert ([text.get_text() for text in axes.texts], len(axes.patches)) == ([" REFUSED: maps off by 0.1"], 0)


def marks(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Where each state's windows stand in the upper chart."""
    found: dict[str, list[tuple[float, float]]] = {}
    state = ""
    for line in figure.axes[0].lines:
        state = state if str(line.get_label()).startswith("_") else str(line.get_label())
        found.setdefault(state, []).extend(zip(line.get_xdata(), line.get_ydata(), strict=True))  # type: ignore[arg-type]
    return found


def test_a_picture_shows_every_window_and_what_became_of_it(camera_report: BenchReport) -> None:
    windows = (
        WindowTiming(1.9, "done", 50.0),
        WindowTiming(2.1, "late", 260.0),
        WindowTiming(2.3, "shed", None),
        WindowTiming(2.5, "invalid", None),
    )
    camera = replace(camera_report.measured.cameras[0], windows=windows)
    figure = draw_report(replace(camera_report, measured=replace(camera_report.measured, cameras=(camera,))), HOP_S)
    found = marks(figure)
    assert (found["done"], found["late"]) == ([(1, 50.0)], [(2, 260.0)])
    assert ([x for x, _ in found["shed"]], [x for x, _ in found["invalid"]]) == ([3], [4])
    assert {y for _, y in found["next window due"]} == {1e3 * HOP_S}
    assert figure.axes[0].get_ylabel() == "time (ms)"


@pytest.mark.parametrize("kind", REPORTS)
def test_a_picture_says_what_was_measured_and_shows_every_stage(kind: str, request: pytest.FixtureRequest) -> None:
    report: BenchReport = request.getfixturevalue(kind)
    figure = draw_report(report, HOP_S)
    assert figure.texts[0].get_text() in WHAT[report.mode]
    assert any("reproduces float64" in text.get_text() for text in figure.texts)
    values, stages = figure.axes
    found = in_order(report.measured.stages_ms)
    assert len(stages.get_yticklabels()) == len(found)
    dots = next(line for line in stages.lines if line.get_marker() == "o")
    assert list(dots.get_xdata()) == pytest.approx([np.median(values_ms) for values_ms in found.values()])
    assert stages.get_xscale() == "log"
    if report.mode != "camera":
        assert list(values.lines[0].get_ydata()) == report.measured.stages_ms["explain"]
    picture = cv2.imdecode(np.frombuffer(render(lambda: figure), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == WIDTH_PX
    assert picture.std() > 5


def test_a_run_in_which_everything_was_shed_is_shown(camera_report: BenchReport) -> None:
    shed = tuple(WindowTiming(1.9 + 0.2 * k, "shed", None) for k in range(6))
    camera = replace(camera_report.measured.cameras[0], windows=shed, latency_ms=[])
    stages_ms = {"decode": [1.0], "region": [1.0], "explain": [], "window": []}
    measured = replace(camera_report.measured, cameras=(camera,), stages_ms=stages_ms, warm_up_ms={})
    report = replace(camera_report, measured=measured)
    assert "6 due: 0 done (0 of them late), 6 shed" in of_report(report).facts["windows"]
    assert [x for x, _ in marks(draw_report(report, HOP_S))["shed"]] == [1, 2, 3, 4, 5, 6]
