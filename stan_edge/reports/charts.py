"""Charts by matplotlib: what an axis, a bar over time or a curve of importance looks like in every picture.

Import it only where a picture is written: loading matplotlib takes half a second.
"""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stan_edge.reports import drawing
from stan_edge.reports.curve import Point
from stan_edge.types import Image

WIDTH_PX = 1280
DPI = 128
"""A power of two, so that whole pixels stay whole when they are counted in inches."""
TITLE_PX, LINE_PX, MARGIN_PX, TICKS_PX = 26, 20, 16, 44
SPAN_ROW_PX, CURVE_PX = 22, 110
MOST_SPAN_ROWS, MOST_THRESHOLDS = 12, 4
LINES = ("--", ":", "-.", (0, (8, 2)), "-")
LONGEST_LABEL = 20
LEAST_BAR = 0.003
"""Of the width: what lasts a second can be seen in an hour."""
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a picture is the same on every machine
    "font.size": 7,  # 12 pixels
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.borderaxespad": 0,
    "text.parse_math": False,  # names of classes may hold anything
}
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)
_DRAWING = threading.Lock()  # cameras end in threads of their own, and matplotlib's settings are global

Rgb = tuple[float, float, float]


RED, GREEN, CYAN, ORANGE, GRAY = (
    (red / 255, green / 255, blue / 255)
    for red, green, blue in (drawing.RED, drawing.GREEN, drawing.CYAN, drawing.ORANGE, drawing.GRAY)
)


@dataclass(frozen=True)
class Row:
    """One chart of a figure: its height, and the room below it for ticks and a label."""

    height_px: int
    below_px: int = TICKS_PX


@dataclass(frozen=True)
class Span:
    """A time with a label."""

    label: str
    start_s: float
    end_s: float
    strength: float
    """0 to 1: how opaque."""
    text: str = ""
    """Beside the bar, where there is room."""


def render(draw: Callable[[], Figure]) -> bytes:
    """What `draw` makes, as a PNG; equal figures give equal bytes."""
    file = io.BytesIO()
    with _DRAWING, style.context(STYLE, after_reset=True):  # without the settings of whoever owns this machine
        draw().savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def new_figure(
    rows: Sequence[Row], left_px: int, right_px: int = MARGIN_PX, head: Sequence[str] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure `WIDTH_PX` wide with charts one below the other, each with room for a title.

    Args:
        left_px, right_px: room for ticks and labels beside the charts.
        head: lines of text above everything.
    """
    head_px = MARGIN_PX // 2 + LINE_PX * len(head)
    height_px = head_px + sum(TITLE_PX + row.height_px + row.below_px for row in rows)
    figure = Figure(figsize=(WIDTH_PX / DPI, height_px / DPI), dpi=DPI, facecolor="white")
    for number, line in enumerate(head):
        y_px = height_px - MARGIN_PX // 2 - LINE_PX * (number + 0.5)
        figure.text(MARGIN_PX / WIDTH_PX, y_px / height_px, line, va="center", color="black" if number == 0 else "0.35")
    axes, bottom_px = [], height_px - head_px
    for row in rows:
        bottom_px -= TITLE_PX + row.height_px
        box_px = np.array([left_px, bottom_px, WIDTH_PX - left_px - right_px, row.height_px])
        axes.append(figure.add_axes(tuple(box_px / (WIDTH_PX, height_px, WIDTH_PX, height_px))))
        bottom_px -= row.below_px
    return figure, axes


def spans_row(spans: Iterable[Span], below_px: int = TICKS_PX) -> Row:
    """Room for `draw_spans`."""
    return Row(SPAN_ROW_PX * max(len(_span_labels(spans)), 1), below_px)


def pictures_row(pictures: Sequence[Image]) -> Row:
    """Room for `draw_pictures`."""
    return Row(max(picture.shape[0] for picture in pictures), LINE_PX + MARGIN_PX)


def draw_spans(axes: Axes, title: str, spans: Sequence[Span], alarms: Collection[str]) -> None:
    """A row of bars over time for each of the labels that last longest, alarm classes in another colour.

    The axis has its times already (`draw_times`).
    """
    labels = _span_labels(spans)
    left_out = len({span.label for span in spans}) - len(labels)
    axes.set_title(f"{title}; {left_out} rarer labels are left out" if left_out else title)
    names = [_axis_text(label) for label in labels] or ["none"]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    start_s, end_s = axes.get_xlim()
    least_s = LEAST_BAR * (end_s - start_s)
    for row, label in enumerate(labels):
        bars = [span for span in spans if span.label == label]
        color = RED if label in alarms else GREEN
        axes.broken_barh(
            [(bar.start_s, max(bar.end_s - bar.start_s, least_s)) for bar in bars],
            (row - 0.42, 0.84),
            facecolors=[(*color, 0.2 + 0.8 * bar.strength) for bar in bars],
            linewidth=0,
        )
        for bar, later in zip(bars, [*bars[1:], None], strict=True):
            text_end_s = bar.end_s + 0.012 * len(bar.text) * (end_s - start_s)
            if bar.text and (later is None or later.start_s >= text_end_s):
                fits = text_end_s <= end_s
                x_s, side = (bar.end_s, "left") if fits else (min(bar.end_s, end_s), "right")
                axes.text(x_s, row, f" {bar.text} ", va="center", ha=side)


def draw_importance(
    axes: Axes, title: str, points: Iterable[Point], thresholds: Mapping[str, float], tick_s: float
) -> None:
    """Importance over time as bars, important ones in another colour, and each label's threshold where it shows.

    Args:
        tick_s: time that one point stands for, at least.
    """
    shown = list(points)
    axes.set_title(title)
    axes.set_ylabel("importance\n(0 to 1)")
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1])
    if not shown:
        return
    starts_s = [point.t_s for point in shown]
    step_s = max(tick_s, float(np.median(np.diff(starts_s)))) if len(shown) > 1 else tick_s
    bars = []
    for point, next_s in zip(shown, [*starts_s[1:], np.inf], strict=True):
        bars.append(point)
        if next_s - point.t_s >= 1.5 * step_s:  # a gap, and not only an uneven rate
            bars.append(Point(point.t_s + step_s, None, None, False))
    *bars, end = bars
    edges_s = [*(bar.t_s for bar in bars), end.t_s]
    values = np.array([bar.importance or 0.0 for bar in bars])
    important = np.array([bar.important for bar in bars])
    for name, color, chosen in (("not important", CYAN, ~important), ("important", RED, important)):
        axes.stairs(values * chosen, edges_s, fill=True, color=color, label=name)
    labels = Counter(bar.label for bar in bars if bar.label is not None)
    for number, (label, _) in enumerate(labels.most_common()):
        axes.stairs(
            [thresholds[label] if bar.label == label else np.nan for bar in bars],
            edges_s,
            baseline=None,
            color="black",
            linewidth=0.8,
            linestyle=LINES[min(number, MOST_THRESHOLDS)],
            label=f"{_axis_text(label)} ≥ {thresholds[label]:g}" if number < MOST_THRESHOLDS else None,
        )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=8, columnspacing=1.2, handlelength=2.4)


def draw_times(axes: Sequence[Axes], start_s: float, end_s: float) -> None:
    """The same time axis for all, with its numbers below the last one."""
    step_s = min(TICKS_S, key=lambda step: abs(np.log(step / ((end_s - start_s) / 12))))
    unit_s, unit = (1, "s") if step_s < 60 else (60, "min") if step_s < 3600 else (3600, "h")
    ticks_s = np.arange(np.ceil(start_s / step_s), np.floor(end_s / step_s) + 1) * step_s
    for one in axes:
        one.set_xlim(start_s, end_s)
        one.set_xticks(ticks_s, [f"{tick_s / unit_s:g}" for tick_s in ticks_s])
        one.grid(axis="x", color="0.9")
        one.set_axisbelow(True)
        if one is not axes[-1]:
            one.tick_params(axis="x", labelbottom=False, length=0)
    axes[-1].set_xlabel(f"time ({unit})")


def draw_pictures(axes: Axes, title: str, pictures: Sequence[tuple[Image, str]], gap_px: int = 6) -> None:
    """Pictures beside each other, pixel by pixel, each with its caption below."""
    axes.set_title(title)
    axes.set_axis_off()
    x_px = 0
    for picture, caption in pictures:
        height_px, width_px = picture.shape[:2]
        area = (x_px, x_px + width_px, height_px, 0)
        axes.imshow(picture, extent=area, aspect="auto", interpolation="none")
        axes.text(x_px, height_px + 4, caption, va="top")
        x_px += width_px + gap_px
    box = axes.get_window_extent()
    axes.set_xlim(0, round(box.width))
    axes.set_ylim(round(box.height), 0)


def _span_labels(spans: Iterable[Span]) -> list[str]:
    lasted: dict[str, float] = {}
    for span in spans:
        lasted[span.label] = lasted.get(span.label, 0.0) + span.end_s - span.start_s
    return sorted(lasted, key=lambda label: -lasted[label])[:MOST_SPAN_ROWS]


def _axis_text(label: str) -> str:
    text = label.replace("_", " ")
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"
