from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stan_edge.model.contract import MethodSpec
from stan_edge.pipeline.attribution import correct, dealias, gate, importance, rescale
from stan_edge.pipeline.heat import focus

scores = arrays(np.float32, 20, elements=st.floats(0, 100, width=32))


def spec(**changes: object) -> MethodSpec:
    plain = {
        "class_specific": True,
        "dealias": True,
        "profile": (1.0,) * 20,
        "cell_px": 16,
        "scale": (1.0, 9.0),
        "thresholds": {"falling": 0.5},
    }
    return MethodSpec.model_validate(plain | changes)


@given(st.floats(0, 10), st.floats(-5, 5))
def test_the_even_odd_pattern_of_the_stem_vanishes(level: float, swing: float) -> None:
    pattern = level + swing * (-1.0) ** np.arange(20)
    assert dealias(pattern) == pytest.approx(np.full(20, level), abs=1e-9)


@given(scores)
def test_dealiasing_is_the_1_2_1_filter_with_reflected_ends(raw: np.ndarray) -> None:
    wide = raw.astype(np.float64)[[1, *range(20), 18]]
    expected = [(wide[k] + 2 * wide[k + 1] + wide[k + 2]) / 4 for k in range(20)]
    assert dealias(raw) == pytest.approx(np.array(expected))


def test_dealiasing_works_on_many_windows_at_once() -> None:
    raw = np.random.default_rng(0).random((3, 20))
    assert np.array_equal(dealias(raw), np.stack([dealias(row) for row in raw]))


@given(scores, st.sampled_from([None, (1.0, 9.0)]), st.booleans())
def test_importance_lies_between_0_and_1(raw: np.ndarray, scale: tuple[float, float] | None, dealiased: bool) -> None:
    found = importance(raw, spec(scale=scale, dealias=dealiased))
    assert found.shape == (20,)
    assert ((found >= 0) & (found <= 1)).all()


@given(scores, st.sampled_from([None, (1.0, 9.0)]))
def test_a_higher_score_never_has_less_importance(raw: np.ndarray, scale: tuple[float, float] | None) -> None:
    found = importance(raw, spec(scale=scale, dealias=False))
    assert (np.diff(found[np.argsort(raw)]) >= 0).all()


@given(scores, scores)
def test_on_a_calibrated_scale_a_score_means_the_same_in_every_window(one: np.ndarray, other: np.ndarray) -> None:
    one[7] = other[7] = 5.0
    calibrated = spec(dealias=False)
    assert importance(one, calibrated)[7] == importance(other, calibrated)[7] == pytest.approx(0.5)
    together = importance(np.stack([one, other]), calibrated)
    assert np.array_equal(together[0], importance(one, calibrated))


def test_a_quiet_window_has_no_importance_on_a_calibrated_scale() -> None:
    assert not importance(np.linspace(0, 0.9, 20), spec()).any()


def test_without_calibration_every_window_has_its_own_0_and_1() -> None:
    found = importance(np.stack([np.linspace(0, 0.001, 20), np.linspace(50, 90, 20)]), spec(scale=None, dealias=False))
    assert found[:, 0].tolist() == [0, 0]
    assert found[:, -1] == pytest.approx([1, 1])


def test_a_flat_window_without_calibration_has_no_importance() -> None:
    assert not importance(np.full(20, 3.0), spec(scale=None)).any()


def test_the_response_to_a_still_clip_is_divided_out() -> None:
    profile = np.linspace(0.5, 1.5, 20)
    calibrated = spec(profile=tuple(profile), dealias=False)
    assert correct(3 * profile, calibrated) == pytest.approx(np.full(20, 3.0))
    assert importance(5 * profile, calibrated) == pytest.approx(np.full(20, 0.5))


def test_nothing_is_important_where_nothing_happens() -> None:
    values = np.array([[0.2, 0.9], [0.4, 1.0]])
    gated = gate(values, np.array([[1.0], [0.25]]))
    assert gated == pytest.approx(np.array([[0.0, 0.0], [0.3, 0.75]]))
    assert (gate(values, 0.0) == values).all()


@given(arrays(np.float32, (3, 3), elements=st.floats(0, 100, width=32)))
def test_heat_keeps_what_lies_above_the_dynamic_threshold_in_its_order(cells: np.ndarray) -> None:
    heat = focus(cells)
    low, high = np.percentile(cells, (70, 90))
    assert ((heat >= 0) & (heat <= 1)).all()
    assert not heat[cells < (low + high) / 2 - 1e-5].any()
    assert (np.diff(heat.ravel()[np.argsort(cells.ravel())]) >= 0).all()
    if cells.max() - (low + high) / 2 > 1e-3:
        assert heat.max() == pytest.approx(1)


def test_heat_is_that_of_each_frame_in_any_unit_and_nothing_where_nothing_stands_out() -> None:
    cells = np.random.default_rng(0).random((20, 3, 3)).astype(np.float32)
    assert focus(1e-6 * cells) == pytest.approx(focus(cells), abs=1e-5)
    assert np.array_equal(focus(cells), np.stack([focus(frame) for frame in cells]))
    assert not focus(np.full((20, 3, 3), 7.0)).any()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
@example(1.0, 1.0, 0.5)
@example(0.0, 0.0, 0.5)
def test_a_rescaled_importance_crosses_the_other_threshold_where_it_crossed_its_own(
    score: float, threshold: float, to: float
) -> None:
    moved = rescale(score, threshold, to)
    assert 0 <= moved <= 1 + 1e-12
    if abs(score - threshold) > 1e-9:
        assert moved >= to - 1e-12 if score >= threshold else moved <= to + 1e-12
    assert rescale(threshold, threshold, to) == to
