"""Clips that three of their frames tell apart, and baselines that have learnt them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stan_train.baselines.fit import BaselineFit, fit_baseline
from stan_train.baselines.network import Baseline, Kind

KINDS: tuple[Kind, ...] = ("fcl", "cnn", "lstm")
FRAMES, FEATURES = 8, 64
TELLING = slice(3, 6)
QUICK = BaselineFit(epochs=50, patience=50, lr=3e-3)


def some_clips(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a fixed level, float32 `[count, 8, 64]`; frames 3 to 5 alone tell class 0 from class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    level = np.linspace(1, 9, FEATURES)
    features = level * (1 + 0.1 * rng.normal(size=(count, FRAMES, FEATURES)))
    features[:, TELLING] += np.where(labels == 1, 0.05, -0.05)[:, None, None] * level
    return features.astype(np.float32), labels


@pytest.fixture(scope="session")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, labels = some_clips(300, seed=0)
    return features, labels, np.arange(300) >= 220


@pytest.fixture(scope="session")
def fitted(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, Baseline]:
    epochs = {"fcl": 30, "cnn": 15, "lstm": 4}
    return {kind: fit_baseline(kind, *data, classes=2, config=replace(QUICK, epochs=epochs[kind])) for kind in KINDS}
