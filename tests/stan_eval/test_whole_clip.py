from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.records import FrameScore, WindowResult
from stan_eval.whole_clip import Scored, copied_to_neighbours, joined


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_every_frame_takes_the_value_of_the_nearest(known: list[int]) -> None:
    index = np.sort(np.array(known))
    copied = copied_to_neighbours(index, index.astype(np.float64), 50)
    for frame, value in enumerate(copied):
        nearest = np.abs(index - frame).min()
        assert abs(value - frame) == nearest
        assert value == min(k for k in known if abs(k - frame) == nearest)  # ties: the earlier


def window(number: int, label: str | None, probabilities: dict[str, float], own: float) -> Scored:
    """A window of 20 frames at 10 Hz, one each second."""
    start = 10 * number
    frames = tuple(FrameScore(k / 10, k, None if label is None else 0.0, False) for k in range(start, start + 20))
    result = WindowResult(
        camera="c", window=number, t_start_s=start / 10, t_end_s=start / 10 + 2, valid=label is not None, reason=None,
        label=label, probability=label and probabilities[label], probabilities=probabilities, frames=frames,
        person="none", latency_ms=0.0,
    )  # fmt: skip
    return Scored(result, np.full(20, own))


def test_windows_explain_the_clips_class_and_background_votes_nothing() -> None:
    windows = [
        window(0, "falling", {"falling": 0.8, "headache": 0.2, "background": 0.0}, 0.5),
        window(1, "headache", {"falling": 0.2, "headache": 0.7, "background": 0.1}, 1.0),
        window(2, "background", {"falling": 0.3, "headache": 0.1, "background": 0.6}, 1.0),
        window(3, None, {}, np.nan),
    ]
    found = joined(windows, "falling", "background", 10, 50)
    expected = [0.5, (0.8 * 0.5 + 0.2 * 1.0) / 1.0, 0.2 * 1.0 / (0.2 + 0.6), 0.0, 0.0]
    assert found.tolist() == pytest.approx(np.repeat(expected, 10).tolist())
