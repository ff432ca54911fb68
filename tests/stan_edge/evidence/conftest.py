from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stan_edge.evidence.case import Case
from stan_edge.evidence.ring import CompressedFrame
from stan_edge.sources import Frame
from tests.stan_edge.sinks.conftest import START, an_event


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """An event of `seconds` with noise for pictures, which no codec makes small."""

    def make(number: int = 0, seconds: float = 2.0) -> Case:
        rng = np.random.default_rng(number)
        shots = tuple(
            CompressedFrame.of(Frame(k, k / 10, rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)))
            for k in range(round(seconds * 10))
        )
        return Case(START, an_event(number, "end"), 0.0, seconds, None, None, shots, (), ("{}",))

    return make
