"""Of overlapping windows, the surest one says where the network looked in a frame."""

from __future__ import annotations

import numpy as np
import pytest

from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.heat import SurestHeat, covered_square, focus
from stan_edge.records import FrameScore, WindowResult
from stan_edge.types import Square

SQUARE = Square(10, 20, 64)


def window(number: int, probability: float, label: str = "falling", **changes: object) -> WindowResult:
    """A window of 20 frames, two later than the one before."""
    frames = tuple(FrameScore(k / 10, k, 0.5, False) for k in range(2 * number, 2 * number + 20))
    fields = {
        "camera": "room", "window": number, "t_start_s": number / 5, "t_end_s": number / 5 + 2, "valid": True,
        "reason": None, "label": label, "probability": probability, "probabilities": {label: probability},
        "frames": frames, "person": "none", "latency_ms": 0.0, "method": "gradcam",
    }  # fmt: skip
    return WindowResult(**(fields | changes))  # type: ignore[arg-type]


def raw_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((20, 4, 4)).astype(np.float32)


def test_each_frame_has_the_heat_of_the_surest_window_that_holds_it(tiny_bundle: Bundle) -> None:
    heat, maps = SurestHeat(tiny_bundle.contract), [raw_map(k) for k in range(3)]
    for number, probability in enumerate((0.6, 0.9, 0.9)):  # of equals, the first
        heat.add(window(number, probability), maps[number], SQUARE)
    for index in range(24):
        expected = 0 if index < 2 else 1 if index < 22 else 2
        found = heat.get(index)
        assert found is not None
        np.testing.assert_array_equal(found.cells, focus(maps[expected])[index - 2 * expected])
        assert (found.probability, found.t_s) == ((0.6, 0.9, 0.9)[expected], index / 10)
    assert heat.get(24) is None


def test_the_background_and_what_was_not_explained_have_no_heat(tiny_bundle: Bundle) -> None:
    heat = SurestHeat(tiny_bundle.contract)
    heat.add(window(0, 0.9, "background"), raw_map(0), SQUARE)
    heat.add(window(0, 0.9, method=None), raw_map(0), SQUARE)
    assert all(heat.get(index) is None for index in range(20))


def test_for_a_class_only_windows_that_explain_it_count_by_their_probability_of_it(tiny_bundle: Bundle) -> None:
    heat = SurestHeat(tiny_bundle.contract, of_class="falling")
    heat.add(window(0, 0.5), raw_map(0), SQUARE)
    heat.add(window(0, 0.9, "headache"), raw_map(1), SQUARE)
    background = {"probabilities": {"background": 0.7, "falling": 0.3}, "target_class": "falling"}
    heat.add(window(1, 0.7, "background", **background), raw_map(2), SQUARE)
    assert [heat.get(index).probability for index in range(22)] == [0.5] * 20 + [0.3] * 2  # type: ignore[union-attr]


def test_frames_are_forgotten_when_they_are_taken_or_old(tiny_bundle: Bundle) -> None:
    heat = SurestHeat(tiny_bundle.contract)
    heat.add(window(0, 0.9), raw_map(0), SQUARE)
    heat.forget_before(0.5)
    assert [index for index in range(20) if heat.get(index)] == list(range(5, 20))
    taken = heat.pop(7)
    assert taken is not None and taken.t_s == pytest.approx(0.7)
    assert heat.pop(7) is None


def test_a_map_may_end_before_the_picture_does(tiny_bundle: Bundle) -> None:
    assert covered_square(SQUARE, 4, 16, 64) == SQUARE
    assert covered_square(Square(0, 0, 224), 3, 32, 112) == Square(0, 0, 192)
    contract = tiny_bundle.contract
    heat = SurestHeat(contract)
    heat.add(window(0, 0.9), raw_map(0), SQUARE)
    found = heat.get(0)
    assert found is not None
    assert found.square == covered_square(SQUARE, 4, contract.methods["gradcam"].cell_px, contract.input.size_px)
