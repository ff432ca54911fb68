"""The noise of SmoothGrad (arXiv 1706.03825): the same in the reference, on every engine and in every run."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stan_edge.model.contract import InputSpec

SIGMA = 0.15 * 255
"""Standard deviation in gray levels: 15 % of the range of values."""
SEED = 0
STEP = 104_729
"""Values between the noise of one window and of the next; odd, so that no pixel of a frame meets the same noise in two
windows that hold it (a frame moves by a multiple of its own, even, number of values)."""


def noise(spec: InputSpec, samples: int) -> NDArray[np.float32]:
    """What is added to the gray levels of each noisy copy, `[samples, T, S, S, 3]`; not clipped.

    Made again from its seed instead of stored: for eight copies of a window of 112 pixels it is 24 MB. `RandomState`
    is NumPy's one generator whose stream is frozen by policy (NEP 19).
    """
    shape = (samples, spec.frames, spec.size_px, spec.size_px, 3)
    return (SIGMA * np.random.RandomState(SEED).standard_normal(shape)).astype(np.float32)


class StreamNoise:
    """A draw for every window of a stream, `[1, T, S, S, 3]`: SmoothGrad spread over the windows that hold a frame.

    Cut from one stretch of noise, a little further on for each window: drawing anew takes as long as the network.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._values = noise(spec, 2).ravel()
        self._shape = (1, spec.frames, spec.size_px, spec.size_px, 3)

    def __call__(self, window: int) -> NDArray[np.float32]:
        count = math.prod(self._shape)
        start = window * STEP % count
        return self._values[start : start + count].reshape(self._shape)
