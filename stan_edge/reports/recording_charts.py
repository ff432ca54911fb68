"""A recording's explanation as one figure: labels, events, importance by each method, and key frames."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from stan_edge.model.contract import Contract
from stan_edge.reports import charts
from stan_edge.reports.drawing import scale_to
from stan_edge.reports.recording import RecordingReport

KEY_FRAMES_A_ROW = 6
KEY_FRAME_PX = 180
LEFT_PX = 150


def draw_recording(report: RecordingReport, contract: Contract, *, key_frames: bool = True) -> Figure:
    """Time runs to the right, the same in all charts.

    Args:
        key_frames: whether they are shown below the charts.
    """
    labels, events = label_spans(report, contract.hop_s), [charts.event_span(event) for event in report.events]
    keys = [(scale_to(key.picture, KEY_FRAME_PX), key.frame) for key in report.key_frames] if key_frames else []
    groups = [keys[first : first + KEY_FRAMES_A_ROW] for first in range(0, len(keys), KEY_FRAMES_A_ROW)]
    curves = [charts.Row(charts.CURVE_PX, below_px=4) for _ in report.curves]
    curves[-1] = charts.Row(charts.CURVE_PX)
    rows = [charts.spans_row(labels, below_px=4), charts.spans_row(events, below_px=4), *curves]
    rows += [charts.pictures_row([picture for picture, _ in group]) for group in groups]
    figure, axes = charts.new_figure(rows, left_px=LEFT_PX)
    timed, pictures = axes[: 2 + len(curves)], axes[2 + len(curves) :]
    charts.draw_times(timed, 0.0, max(report.duration_s, 1.0))
    charts.draw_spans(
        timed[0], "label of each window (orange: alarm class; the paler, the less sure)", labels, contract.alarms
    )
    charts.draw_spans(timed[1], "events, with the highest probability of each", events, contract.alarms)
    for chart, (method, curve) in zip(timed[2:], report.curves.items(), strict=True):
        thresholds, tick_s = contract.methods[method].thresholds, contract.input.tick_s
        charts.draw_importance(chart, f"importance of each frame by {method}", curve, thresholds, tick_s)
    for number, (row, group) in enumerate(zip(pictures, groups, strict=True)):
        captions = [(picture, f"{frame.t_s:.1f} s: {frame.importance:.2f}") for picture, frame in group]
        title = f"most important frames by {next(iter(report.curves))}, with their importance"
        charts.draw_pictures(row, title if number == 0 else "", captions)
    return figure


def label_spans(report: RecordingReport, hop_s: float) -> list[charts.Span]:
    """The windows' labels, each around the middle of its window, as far as its neighbours."""
    points = list(report.labels)
    times_s = [point.t_s for point in points]
    half_s = max(hop_s, float(np.median(np.diff(times_s)))) / 2 if len(points) > 1 else hop_s / 2
    return [
        charts.Span(point.label, point.t_s - half_s, point.t_s + half_s, point.importance or 0.0)
        for point in points
        if point.label is not None
    ]
