"""What a chart shows is in its artists; that it is drawn, in the ink of its picture."""

from __future__ import annotations

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from stan_edge.reports import charts
from stan_edge.reports.charts import GREEN, RED, Row, Span
from stan_edge.reports.curve import Point

LEFT_PX = 150
THRESHOLDS = {"falling": 0.4, "headache": 0.2}


def a_chart(row: Row, start_s: float = 0.0, end_s: float = 10.0) -> tuple[Figure, Axes]:
    figure, (axes,) = charts.new_figure([row], LEFT_PX)
    charts.draw_times([axes], start_s, end_s)
    return figure, axes


def steps(axes: Axes) -> dict[str, StepPatch]:
    return {str(patch.get_label()): patch for patch in axes.patches if isinstance(patch, StepPatch)}


def value_at(patch: StepPatch, t_s: float) -> float:
    values, edges, _ = patch.get_data()
    return float(values[np.searchsorted(edges, t_s, side="right") - 1])


def pixels(figure: Figure) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(charts.render(lambda: figure), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def ink(picture: np.ndarray, color: charts.Rgb) -> np.ndarray:
    return (np.abs(picture.astype(int) - np.round(np.multiply(color, 255))) <= 1).all(axis=-1)


@pytest.fixture
def points() -> list[Point]:
    """Somebody falls from 2 to 4 s and holds the head from 7 to 8 s; nothing is known from 5 to 6 s."""
    found = []
    for k in [*range(50), *range(60, 100)]:
        label = "falling" if 20 <= k < 40 else "headache" if 70 <= k < 80 else None
        importance = {"falling": 0.3 if k < 30 else 0.8, "headache": 0.1, None: 0.0}[label]
        found.append(Point(k / 10, importance, label, label is not None and importance >= THRESHOLDS[label]))
    return found


def test_importance_has_its_bars_its_thresholds_and_its_gaps(points: list[Point]) -> None:
    figure, axes = a_chart(Row(charts.CURVE_PX))
    charts.draw_importance(axes, "importance", points, THRESHOLDS, 0.1)
    shown = steps(axes)
    assert set(shown) == {"important", "not important", "falling ≥ 0.4", "headache ≥ 0.2"}
    assert [value_at(shown["not important"], t_s) for t_s in (2.55, 3.55, 7.55)] == [0.3, 0.0, 0.1]
    assert [value_at(shown["important"], t_s) for t_s in (2.55, 3.55, 5.5, 7.55)] == [0.0, 0.8, 0.0, 0.0]
    assert [value_at(shown["falling ≥ 0.4"], t_s) for t_s in (2.05, 3.95)] == [0.4, 0.4]
    assert np.isnan([value_at(shown["falling ≥ 0.4"], t_s) for t_s in (1.05, 5.5, 7.55)]).all()
    legend = axes.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == set(shown)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("importance\n(0 to 1)", "time (s)")
    picture = pixels(figure)
    assert picture.shape[1] == charts.WIDTH_PX
    red = ink(picture[charts.TITLE_PX + 10 :], RED).nonzero()[1]  # below the legend
    left, right = (LEFT_PX + t_s / 10 * (charts.WIDTH_PX - LEFT_PX - charts.MARGIN_PX) for t_s in (3.0, 4.0))
    assert (red.min(), red.max()) == (pytest.approx(left, abs=2), pytest.approx(right, abs=2))


def test_a_recording_without_a_window_has_an_empty_chart() -> None:
    figure, axes = a_chart(Row(charts.CURVE_PX))
    charts.draw_importance(axes, "importance", [], THRESHOLDS, 0.1)
    assert steps(axes) == {}
    assert pixels(figure).min() == 0


def test_an_uneven_rate_leaves_no_gaps_between_bars() -> None:
    _, axes = a_chart(Row(charts.CURVE_PX))
    times_s = np.cumsum([0.1, 0.133, 0.1, 0.133, 0.1])
    charts.draw_importance(axes, "", [Point(t_s, 0.5, "falling", True) for t_s in times_s], THRESHOLDS, 0.1)
    assert all(value_at(steps(axes)["important"], t_s) == 0.5 for t_s in np.linspace(0.11, 0.6, 50))


def test_of_many_labels_the_legend_names_the_commonest_and_all_lines_are_there() -> None:
    _, axes = a_chart(Row(charts.CURVE_PX))
    labels = [f"class {n}" for n in range(9) for _ in range(10 - n)]
    found = [Point(k / 10, 0.5, label, False) for k, label in enumerate(labels)]
    charts.draw_importance(axes, "", found, {f"class {n}": n / 10 for n in range(9)}, 0.1)
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["not important", "important", *(f"class {n} ≥ {n / 10:g}" for n in range(4))]
    assert len(axes.patches) == 2 + 9


def test_every_label_has_a_row_with_its_bars_and_alarms_another_colour() -> None:
    spans = [Span("background", 0, 6, 1.0), Span("falling", 6, 8, 1.0, "0.97"), Span("background", 8, 9, 0.0)]
    figure, axes = a_chart(charts.spans_row(spans))
    charts.draw_spans(axes, "labels", spans, ("falling",))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["background", "falling"]
    calm, alarm = axes.collections
    assert [path.get_extents().intervalx.tolist() for path in calm.get_paths()] == [[0, 6], [8, 9]]
    assert [path.get_extents().intervalx.tolist() for path in alarm.get_paths()] == [[6, 8]]
    assert [tuple(color[:3]) for color in (calm.get_facecolor()[0], alarm.get_facecolor()[0])] == [GREEN, RED]
    assert calm.get_facecolor()[0][3] > calm.get_facecolor()[1][3]  # surer, so stronger
    assert [text.get_text().strip() for text in axes.texts] == ["0.97"]
    assert ink(pixels(figure), RED).sum() > 1000


def test_a_short_event_can_be_seen_in_an_hour_and_texts_do_not_cover_the_next() -> None:
    spans = [Span("falling", 100, 101, 1.0, "0.91"), Span("falling", 110, 111, 1.0, "0.92")]
    figure, axes = a_chart(charts.spans_row(spans), 0, 3600)
    charts.draw_spans(axes, "events", spans, ("falling",))
    assert [text.get_text().strip() for text in axes.texts] == ["0.92"]
    assert ink(pixels(figure), RED).sum() > 20


def test_rare_labels_that_have_no_row_are_counted() -> None:
    spans = [Span(f"class {n}", 0, 20 - n, 1.0) for n in range(15)]
    _, axes = a_chart(charts.spans_row(spans))
    charts.draw_spans(axes, "labels", spans, ())
    assert len(axes.get_yticklabels()) == charts.MOST_SPAN_ROWS
    assert axes.get_title() == "labels; 3 rarer labels are left out"


@pytest.mark.parametrize(
    ("end_s", "unit", "last"), [(4.4, "s", "4"), (59, "s", "55"), (3600, "min", "60"), (86_400, "h", "24")]
)
def test_times_are_in_a_unit_that_suits_the_length(end_s: float, unit: str, last: str) -> None:
    _, axes = a_chart(Row(50), 0.0, end_s)
    assert axes.get_xlabel() == f"time ({unit})"
    assert axes.get_xticklabels()[-1].get_text() == last
    assert 5 <= len(axes.get_xticks()) <= 20


def test_pictures_are_shown_pixel_by_pixel_with_their_captions() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (90, 160, 3), np.uint8) for _ in range(3)]
    figure, (_, axes) = charts.new_figure([Row(31), charts.pictures_row(noise)], LEFT_PX)
    charts.draw_pictures(axes, "frames", [(image, f"{k} s") for k, image in enumerate(noise)])
    assert [text.get_text() for text in axes.texts] == ["0 s", "1 s", "2 s"]
    picture = pixels(figure)
    for image in noise:
        x, y = cv2.minMaxLoc(cv2.matchTemplate(np.ascontiguousarray(picture), image, cv2.TM_SQDIFF))[2]
        assert np.array_equal(picture[y : y + 90, x : x + 160], image)


def test_a_picture_is_the_same_whatever_matplotlib_was_set_to(points: list[Point]) -> None:
    def draw() -> Figure:
        figure, axes = a_chart(Row(charts.CURVE_PX))
        charts.draw_importance(axes, "a $ sign and _ in it", points, THRESHOLDS, 0.1)
        return figure

    plain = charts.render(draw)
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.dpi": 30}):
        assert charts.render(draw) == plain
        assert mpl.rcParams["font.size"] == 20
    assert charts.render(draw) == plain
