"""An explanation as one figure: labels, events, importance by each method, and key frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from stan_edge.model.contract import Contract, Method
from stan_edge.records import Event
from stan_edge.reports import charts
from stan_edge.reports.curve import Curve
from stan_edge.reports.drawing import scale_to
from stan_edge.reports.key_frames import KeyFrame
from stan_edge.reports.recording import RecordingReport

KEY_FRAMES_A_ROW, KEY_FRAME_PX = 6, 180
LEFT_PX = 150


def draw_recording(report: RecordingReport, contract: Contract, *, key_frames: bool = True) -> Figure:
    """A whole recording, with or without its key frames."""
    labels = {"label of each window (orange: alarm class; the paler, the less sure)": _label_spans(report, contract)}
    shown = [replace(key, picture=scale_to(key.picture, KEY_FRAME_PX)) for key in report.key_frames if key_frames]
    times_s = (0.0, max(report.duration_s, 1.0))
    return draw_explanation(contract, times_s, labels, report.events, report.curves, shown)


def draw_explanation(
    contract: Contract,
    times_s: tuple[float, float],
    labels: Mapping[str, Sequence[charts.Span]],
    events: Iterable[Event],
    curves: Mapping[Method, Curve],
    key_frames: Sequence[KeyFrame],
    curve_px: int = charts.CURVE_PX,
) -> Figure:
    """Time runs to the right, the same in all charts; key frames are below.

    Args:
        times_s: from when to when.
        labels: by the title of their chart.
        key_frames: by the first method of `curves`, as large as they are shown.
    """
    peaks = [charts.Span(e.label, e.t_start_s, e.t_end_s, 1.0, f"{e.peak_probability:.2f}") for e in events]
    spans = {**labels, "events, with the highest probability of each": peaks}
    captioned = [(key.picture, f"{key.frame.t_s:.1f} s: {key.frame.importance:.2f}") for key in key_frames]
    groups = [captioned[first : first + KEY_FRAMES_A_ROW] for first in range(0, len(captioned), KEY_FRAMES_A_ROW)]
    rows = [charts.spans_row(row, below_px=4) for row in spans.values()]
    rows += [*[charts.Row(curve_px, below_px=4)] * (len(curves) - 1), charts.Row(curve_px)]
    rows += [charts.pictures_row([picture for picture, _ in group]) for group in groups]
    figure, axes = charts.new_figure(rows, left_px=LEFT_PX)
    timed = axes[: len(spans) + len(curves)]
    charts.draw_times(timed, *times_s)
    for chart, (title, row) in zip(timed, spans.items(), strict=False):
        charts.draw_spans(chart, title, row, contract.alarms)
    for chart, (method, curve) in zip(timed[len(spans) :], curves.items(), strict=True):
        thresholds, tick_s = contract.methods[method].thresholds, contract.input.tick_s
        charts.draw_importance(chart, f"importance of each frame by {method}", curve, thresholds, tick_s)
    title = f"most important frames by {next(iter(curves))}, with their importance"
    for chart, group in zip(axes[len(timed) :], groups, strict=True):
        charts.draw_pictures(chart, title if group is groups[0] else "", group)
    return figure


def _label_spans(report: RecordingReport, contract: Contract) -> list[charts.Span]:
    """The windows' labels, each around the middle of its window, as far as its neighbours."""
    points = list(report.labels)
    step_s = float(np.median(np.diff([point.t_s for point in points]))) if len(points) > 1 else 0.0
    half_s = max(contract.hop_s, step_s) / 2
    return [
        charts.Span(point.label, point.t_s - half_s, point.t_s + half_s, point.importance or 0.0)
        for point in points
        if point.label is not None
    ]
