"""One number that makes probabilities mean what they say: the temperature of the softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOUNDS = (0.25, 10.0)
"""A model without a mistake on the clips would ask for temperature 0, and every later probability would be 0 or 1."""


@dataclass(frozen=True)
class Temperature:
    """What was chosen, and the mean negative log-likelihood (nats a window) at 1 and at the choice."""

    value: float
    nll_before: float
    nll_after: float

    @property
    def at_bound(self) -> bool:
        """The data asked for less or more than is allowed."""
        return self.value in BOUNDS


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Temperature:
    """The temperature T that minimises the negative log-likelihood of softmax(logits / T) (Guo et al., "On
    Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2), within `BOUNDS`.

    Args:
        logits: [N, C]; labels: [N], N at least 1.
    """
    from scipy.optimize import minimize_scalar

    wide = logits.astype(np.float64)

    def nll(temperature: float) -> float:
        return negative_log_likelihood(wide, labels, temperature)

    bounds = (float(np.log(BOUNDS[0])), float(np.log(BOUNDS[1])))
    inside = minimize_scalar(
        lambda log_t: nll(float(np.exp(log_t))), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    best = min((*BOUNDS, float(np.exp(inside.x))), key=nll)  # the search never quite reaches a bound
    return Temperature(best, nll(1.0), nll(best))


def negative_log_likelihood(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean over windows of -log softmax(logits / T)[label], logits [N, C]."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean())
