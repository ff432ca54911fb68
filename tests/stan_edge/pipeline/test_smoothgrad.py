from __future__ import annotations

import numpy as np
import pytest

from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.smoothgrad import StreamNoise, noise


def test_noise_has_15_percent_of_the_range_of_gray_levels(input_spec: InputSpec) -> None:
    drawn = noise(input_spec, 3)
    assert drawn.shape == (3, 20, 64, 64, 3)
    assert drawn.dtype == np.float32
    assert drawn.std() == pytest.approx(38.25, rel=0.01)
    assert drawn.mean() == pytest.approx(0, abs=0.2)
    for copy in drawn:
        assert copy.std() == pytest.approx(38.25, rel=0.01)
    assert np.corrcoef(drawn.reshape(3, -1)) == pytest.approx(np.eye(3), abs=0.01)


def test_noise_is_the_same_every_time_and_more_copies_begin_with_the_same_ones(input_spec: InputSpec) -> None:
    assert np.array_equal(noise(input_spec, 2), noise(input_spec, 2))
    assert np.array_equal(noise(input_spec, 3)[:2], noise(input_spec, 2))


def test_a_frame_meets_other_noise_in_every_window_of_a_stream(input_spec: InputSpec) -> None:
    """At every hop: no pixel of a frame is moved twice by the same draw, and draws have nothing in common."""
    draw = StreamNoise(input_spec)
    first = draw(7)
    assert first.shape == (1, 20, 64, 64, 3)
    assert first.std() == pytest.approx(38.25, rel=0.01)
    assert np.array_equal(draw(7), first)
    assert np.array_equal(draw(0), noise(input_spec, 1))
    for hop in (1, 2, 4, 10):
        for later in range(1, 20 // hop):
            shared = 20 - later * hop  # frames that both windows hold
            here, there = first[0, -shared:].ravel(), draw(7 + later)[0, :shared].ravel()
            assert (here == there).mean() < 1e-3
            assert abs(np.corrcoef(here, there)[0, 1]) < 0.02


def test_the_noise_of_exported_bundles_has_not_changed(input_spec: InputSpec) -> None:
    """Should a NumPy draw others, recorded references of bundles that are out there no longer hold."""
    assert noise(input_spec, 1).ravel()[:4] == pytest.approx([67.474998, 15.306013, 37.43673, 85.714165], rel=1e-6)
