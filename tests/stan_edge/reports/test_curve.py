from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stan_edge.pipeline.timeline import TimelineFrame
from stan_edge.reports.curve import MOST, Curve


@given(st.integers(1, 40_000), st.integers(0, 2**16))
def test_a_curve_of_any_length_keeps_few_points_and_every_peak(length: int, seed: int) -> None:
    curve, peaks = Curve(), {}
    for k in range(length):
        value = None if (k + seed) % 7 == 0 else ((k * 7919 + seed) % 1000) / 2000
        if (k + seed) % 5003 == 0:
            value = 0.9 + k / 1e6  # stands out
            peaks[k] = value
        curve.add(TimelineFrame(k / 10, k, None if value is None else "falling", value), important=k in peaks)
    points = list(curve)
    assert len(points) <= MOST
    assert [point.t_s for point in points] == sorted({point.t_s for point in points})
    assert points[0].t_s == 0.0
    for k, value in peaks.items():
        near = [point for point in points if point.t_s <= k / 10]
        assert near[-1].important
        assert near[-1].importance is not None
        assert near[-1].importance >= value
    if length <= MOST - 1:
        assert len(points) == length


def test_what_nobody_saw_has_no_importance() -> None:
    curve = Curve()
    curve.add(TimelineFrame(0.0, 0, None, None), important=False)
    (point,) = curve
    assert (point.importance, point.label, point.important) == (None, None, False)
