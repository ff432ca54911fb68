from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stan_edge.evidence.case import Case
from stan_edge.evidence.ring import CompressedFrame
from stan_edge.files import file_digest
from stan_edge.model.bundle import DIGESTS
from stan_edge.sources import Frame
from tests.stan_edge.sinks.conftest import an_event


def changed(pack: Path) -> list[str]:
    """Names of the files that are not what the pack's digests say: missing, other, or added since."""
    recorded = json.loads((pack / DIGESTS).read_text(encoding="utf-8"))
    there = {path.name: file_digest(path) for path in pack.iterdir() if path.name != DIGESTS}
    return sorted(name for name in {*recorded, *there} if recorded.get(name) != there.get(name))


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """An event of `seconds` with noise for pictures, which no codec makes small."""

    def make(number: int = 0, seconds: float = 2.0) -> Case:
        rng = np.random.default_rng(number)
        shots = tuple(
            CompressedFrame.of(Frame(k, k / 10, rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)))
            for k in range(round(seconds * 10))
        )
        return Case(an_event(number, "end"), None, None, shots, (), ("{}",))

    return make
