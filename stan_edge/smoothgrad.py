"""The noise of SmoothGrad (arXiv 1706.03825): the same in the reference, on every engine and in every run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stan_edge.contract import InputSpec

SIGMA = 0.15 * 255
"""Standard deviation in gray levels: 15 % of the range of values."""
SEED = 0


def noise(spec: InputSpec, samples: int) -> NDArray[np.float32]:
    """What is added to the gray levels of each noisy copy, `[samples, T, S, S, 3]`; not clipped.

    Made again from its seed instead of stored: for eight copies of a window of 112 pixels it is 24 MB. `RandomState`
    is NumPy's one generator whose stream is frozen by policy (NEP 19).
    """
    shape = (samples, spec.frames, spec.size_px, spec.size_px, 3)
    return (SIGMA * np.random.RandomState(SEED).standard_normal(shape)).astype(np.float32)
