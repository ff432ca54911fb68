"""A measurement as one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from stan_bench.camera import WindowState
from stan_bench.compare import Comparison
from stan_bench.result import WHAT, BenchReport
from stan_bench.sections import ONE_ENGINE, STAGES, in_order, parity_text, windows_text
from stan_bench.statistics import percentiles
from stan_edge.reports.drawing import CYAN, DARK, GRAY, GREEN, RED, WHITE, put_text
from stan_edge.types import Image

WIDTH_PX, MARGIN_PX, NAMES_PX, LINE_PX, CURVE_PX, BAR_PX = 1280, 16, 250, 22, 260, 30
ORANGE, BACK = (240, 160, 60), (34, 37, 43)
COLORS: dict[WindowState, tuple[int, int, int]] = {"done": GREEN, "late": ORANGE, "shed": RED, "invalid": GRAY}
DECADES_MS = (0.01, 10_000.0)
Area = tuple[int, int, int, int]


def draw_report(report: BenchReport, hop_s: float) -> Image:
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
    image, y = _page(head, CURVE_PX + 2 * LINE_PX + 3 * LINE_PX + BAR_PX * len(stages))
    curve = (NAMES_PX, y + LINE_PX, WIDTH_PX - MARGIN_PX, y + LINE_PX + CURVE_PX)
    if report.mode == "camera":
        _draw_windows(image, report, hop_s * 1e3, curve)
    else:
        _draw_points(image, report.measured.stages_ms["explain"], "explain, in the order it was measured (ms)", curve)
    _draw_stages(image, stages, curve[3] + 2 * LINE_PX)
    return image


def draw_comparison(comparison: Comparison) -> Image:
    """Forward pass and explanation of each combination; what is refused says why."""
    conditions = comparison.conditions
    head = [
        WHAT["compare"],
        f"{conditions['model']}; {conditions['machine']}",
        "medians; gray: forward pass, blue: explaining (forward pass within)",
    ]
    image, y = _page(head, BAR_PX * len(comparison.rows) + LINE_PX)
    medians = [row.explain_median_ms or 0.0 for row in comparison.rows]
    most_ms = max([*medians, *(row.forward_median_ms or 0.0 for row in comparison.rows), 1e-3])
    left = NAMES_PX + 60
    per_ms = (WIDTH_PX - MARGIN_PX - left - 430) / most_ms
    for number, row in enumerate(comparison.rows):
        top = y + number * BAR_PX
        put_text(image, f"{row.backend} {row.precision} {row.method}", (MARGIN_PX, top + 17), WHITE, 0.45)
        if row.explain_median_ms is None or row.forward_median_ms is None or row.parity is None:
            put_text(image, f"REFUSED: {row.refusal}", (left, top + 17), RED, 0.45)
            continue
        for offset, value, color in ((2, row.forward_median_ms, GRAY), (13, row.explain_median_ms, CYAN)):
            right = left + max(round(value * per_ms), 1)
            cv2.rectangle(image, (left, top + offset), (right, top + offset + 8), color, cv2.FILLED)
        text = f"forward {row.forward_median_ms:.1f}, explain {row.explain_median_ms:.1f} ms ({row.ratio:.2f}), "
        text += f"errors up to {max(row.parity.scores_error, row.parity.map_error, row.parity.logits_error):.0e}"
        put_text(image, text, (left + round(row.explain_median_ms * per_ms) + 10, top + 17), GRAY, 0.4)
    return image


def _page(head: Sequence[str], body_px: int) -> tuple[Image, int]:
    """An empty page with its first lines, and where it goes on."""
    y = MARGIN_PX + LINE_PX * (len(head) + 1)
    image = np.full((y + body_px + MARGIN_PX, WIDTH_PX, 3), DARK, np.uint8)
    for number, line in enumerate(head):
        text = line.encode("ascii", "replace").decode()
        put_text(image, text, (MARGIN_PX, MARGIN_PX + LINE_PX * (number + 1) - 8), GRAY if number else WHITE, 0.5)
    return image, y


def _draw_windows(image: Image, report: BenchReport, hop_ms: float, area: Area) -> None:
    x0, y0, x1, y1 = area
    latencies = [
        window.latency_ms for camera in report.measured.cameras for window in camera.windows if window.latency_ms
    ]
    top_ms = 1.15 * max([*latencies, 1.0])
    top_ms = max(top_ms, 1.1 * hop_ms) if top_ms > 0.5 * hop_ms else top_ms
    _draw_frame(image, "from capture to result, every window (ms)", area, top_ms)
    if hop_ms < top_ms:
        line_y = round(y1 - hop_ms / top_ms * (y1 - y0))
        cv2.line(image, (x0, line_y), (x1, line_y), GRAY, 1)
        put_text(image, "next window due", (x1 - 130, line_y - 5), GRAY, 0.4)
    for camera in report.measured.cameras:
        step_px = (x1 - x0) / max(len(camera.windows), 1)
        for number, window in enumerate(camera.windows):
            x = round(x0 + (number + 0.5) * step_px)
            if window.latency_ms is None:
                cv2.line(image, (x, y0), (x, y0 + 12), COLORS[window.state], 2)
            else:
                y = round(y1 - window.latency_ms / top_ms * (y1 - y0))
                cv2.circle(image, (x, y), 3, COLORS[window.state], cv2.FILLED, cv2.LINE_AA)
    for number, (state, color) in enumerate(COLORS.items()):
        put_text(image, state, (x0 + 10 + 70 * number, y1 + 17), color, 0.45)


def _draw_points(image: Image, values: Sequence[float], title: str, area: Area) -> None:
    x0, y0, x1, y1 = area
    top_ms = 1.15 * max(values)
    _draw_frame(image, title, area, top_ms)
    for number, value in enumerate(values):
        center = round(x0 + (number + 0.5) * (x1 - x0) / len(values)), round(y1 - value / top_ms * (y1 - y0))
        cv2.circle(image, center, 2, CYAN, cv2.FILLED, cv2.LINE_AA)


def _draw_frame(image: Image, title: str, area: Area, top_ms: float) -> None:
    x0, y0, x1, y1 = area
    cv2.rectangle(image, (x0, y0), (x1, y1), BACK, cv2.FILLED)
    put_text(image, title, (x0, y0 - 7), WHITE, 0.45)
    step_ms = _round_step(top_ms / 4)
    for number in range(int(top_ms / step_ms) + 1):
        y = round(y1 - number * step_ms / top_ms * (y1 - y0))
        put_text(image, f"{number * step_ms:g}", (x0 - 52, y + 4), GRAY, 0.4)
        cv2.line(image, (x0 - 5, y), (x0, y), GRAY, 1)


def _draw_stages(image: Image, stages: dict[str, Sequence[float]], y: int) -> None:
    """p50 as a dot, a bar up to p95, a line up to the largest value."""
    left, right = NAMES_PX, WIDTH_PX - MARGIN_PX - 190
    low, high = (math.log10(value) for value in DECADES_MS)

    def x_of(value_ms: float) -> int:
        share = (math.log10(min(max(value_ms, DECADES_MS[0]), DECADES_MS[1])) - low) / (high - low)
        return round(left + share * (right - left))

    put_text(image, "dot: p50, bar: to p95, line: to the largest (ms)", (left, y - 7), WHITE, 0.45)
    bottom = y + BAR_PX * len(stages)
    cv2.rectangle(image, (left, y), (right, bottom), BACK, cv2.FILLED)
    for decade in range(round(low), round(high) + 1):
        x = x_of(10.0**decade)
        cv2.line(image, (x, y), (x, bottom), DARK, 1)
        text = f"{10.0**decade:g}"
        put_text(image, text, (x - 4 * len(text), bottom + 16), GRAY, 0.4)
    for number, (stage, values) in enumerate(stages.items()):
        middle = y + BAR_PX * number + BAR_PX // 2
        found = percentiles(values)
        p50, p95 = float(np.percentile(values, 50)), float(np.percentile(values, 95))
        put_text(image, f"{STAGES.get(stage, stage)} ({len(values)})", (MARGIN_PX, middle + 5), WHITE, 0.4)
        cv2.line(image, (x_of(p50), middle), (x_of(max(values)), middle), GRAY, 1)
        cv2.rectangle(image, (x_of(p50), middle - 5), (x_of(p95), middle + 5), CYAN, cv2.FILLED)
        cv2.circle(image, (x_of(p50), middle), 5, WHITE, cv2.FILLED, cv2.LINE_AA)
        put_text(image, f"{p50:.2f} / {p95:.2f} / {found['max']:.1f}", (right + 8, middle + 5), GRAY, 0.4)


def _round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least this much."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= about)
