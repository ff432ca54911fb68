"""A measurement as one figure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stan_bench.camera import WindowState
from stan_bench.compare import Comparison
from stan_bench.result import WHAT, BenchReport
from stan_bench.sections import ONE_ENGINE, STAGES, in_order, milliseconds, parity_text, windows_text
from stan_edge.reports.charts import CYAN, GRAY, GREEN, ORANGE, RED, Rgb, Row, new_figure

LEFT_PX, VALUES_PX, VALUES_LINE_PX, STAGE_PX, BAR_PX, LINE_CHARS = 220, 260, 200, 30, 36, 180
DECADES_MS = (0.01, 10_000.0)
"""The same for every measurement, so that pictures can be compared."""
MARKS: dict[WindowState, tuple[str, Rgb]] = {
    "done": ("o", GREEN),
    "late": ("^", ORANGE),
    "shed": ("x", RED),
    "invalid": ("s", GRAY),
}


def draw_report(report: BenchReport, hop_s: float) -> Figure:
    """Every value in order above, every stage on one logarithmic scale below."""
    stages = in_order(report.measured.stages_ms)
    head = [
        WHAT[report.mode],
        "{model}, {method}, {backend} {precision} on {device}; {machine}".format(**report.conditions),
        parity_text(report.parity),
    ]
    if report.measured.cameras:
        head.append(f"windows: {windows_text(report.measured)}")
    if len(report.measured.cameras) > 1:
        head.append(ONE_ENGINE.format(len(report.measured.cameras)))
    rows = [Row(VALUES_PX), Row(STAGE_PX * max(len(stages), 1))]
    figure, (values, by_stage) = new_figure(rows, LEFT_PX, VALUES_LINE_PX, _wrapped(head))
    if report.mode == "camera":
        _draw_windows(values, report, hop_s * 1e3)
    else:
        explain_ms = report.measured.stages_ms["explain"]
        values.set_title("explain, in the order it was measured")
        values.plot(range(1, len(explain_ms) + 1), explain_ms, ".", color=CYAN)
        values.set_xlabel("number")
    values.set_ylabel("time (ms)")
    values.set_ylim(bottom=0)
    values.margins(x=0.01)
    _draw_stages(by_stage, stages)
    return figure


def draw_comparison(comparison: Comparison) -> Figure:
    """Forward pass and explanation of each combination; what is refused says why."""
    head = [WHAT["compare"], "{model}; {machine}".format(**comparison.conditions)]
    rows = comparison.rows
    figure, (axes,) = new_figure([Row(BAR_PX * max(len(rows), 1))], LEFT_PX, 16, _wrapped(head))
    axes.set_title("medians")
    axes.set_xlabel("time (ms)")
    _name_rows(axes, [f"{row.backend} {row.precision} {row.method}" for row in rows])
    timed = [
        (number, row, row.forward_median_ms, row.explain_median_ms)
        for number, row in enumerate(rows)
        if row.forward_median_ms is not None and row.explain_median_ms is not None
    ]
    for name, offset, color, medians in (
        ("forward pass", -0.2, GRAY, [forward_ms for _, _, forward_ms, _ in timed]),
        ("explaining, forward pass within", 0.2, CYAN, [explain_ms for *_, explain_ms in timed]),
    ):
        axes.barh([number + offset for number, *_ in timed], medians, height=0.36, color=color, label=name)
    axes.set_xlim(0, 1.7 * max((max(forward_ms, explain_ms) for *_, forward_ms, explain_ms in timed), default=1.0))
    for number, row, forward_ms, explain_ms in timed:
        text = f" forward {forward_ms:.1f}, explain {explain_ms:.1f} ms ({row.ratio:.2f})"
        if row.parity is not None:
            errors = row.parity.scores_error, row.parity.map_error, row.parity.logits_error
            text += f", errors up to {max(errors):.0e}"
        axes.text(max(forward_ms, explain_ms), number, text, va="center")
    for number, row in enumerate(rows):
        if row.refusal is not None:
            axes.text(0, number, f" REFUSED: {row.refusal}", va="center", color=RED)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return figure


def _draw_windows(axes: Axes, report: BenchReport, hop_ms: float) -> None:
    """Latency of each camera's windows; what has none stands at the top."""
    axes.set_title("from capture to result, every window")
    axes.set_xlabel("window of its camera, in order")
    windows = [
        (number, window) for camera in report.measured.cameras for number, window in enumerate(camera.windows, start=1)
    ]
    for state, (marker, color) in MARKS.items():
        timed = [(number, w.latency_ms) for number, w in windows if w.state == state and w.latency_ms is not None]
        axes.plot(*np.array(timed).reshape(-1, 2).T, marker, color=color, markersize=5, label=state)
        none = [number for number, w in windows if w.state == state and w.latency_ms is None]
        axes.plot(none, [0.97] * len(none), marker, color=color, transform=axes.get_xaxis_transform(), clip_on=False)
    most_ms = max((w.latency_ms for _, w in windows if w.latency_ms is not None), default=hop_ms)
    axes.set_ylim(top=1.15 * (max(most_ms, hop_ms) if most_ms > 0.5 * hop_ms else most_ms))
    if hop_ms < axes.get_ylim()[1]:
        axes.axhline(hop_ms, color=GRAY, linestyle="--", label="next window due")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5)


def _draw_stages(axes: Axes, stages: dict[str, Sequence[float]]) -> None:
    axes.set_title("each stage (dot: p50, bar: to p95, line: to the largest)")
    axes.set_xlabel("time (ms), logarithmic")
    _name_rows(axes, [f"{STAGES.get(stage, stage)} ({len(values)})" for stage, values in stages.items()])
    if not stages:
        return
    rows = range(len(stages))
    p50, p95, most = np.array([[*np.percentile(values, (50, 95)), max(values)] for values in stages.values()]).T
    axes.set_xscale("log")
    axes.set_xlim(DECADES_MS)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.hlines(rows, p50, most, color=GRAY)
    axes.barh(rows, p95 - p50, left=p50, height=0.4, color=CYAN)
    axes.plot(p50, rows, "o", color="black")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    for row in rows:
        text = "  {} / {} / {} ms".format(*map(milliseconds, (p50[row], p95[row], most[row])))
        axes.text(1, row, text, va="center", transform=axes.get_yaxis_transform())


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _wrapped(lines: Sequence[str]) -> list[str]:
    """Lines that fit the figure."""
    return [part for line in lines for part in textwrap.wrap(line, LINE_CHARS)]
