from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stan_edge.errors import ConfigError
from stan_train.baselines.fit import BaselineFit, fit_baseline
from stan_train.baselines.network import Baseline, Kind, predict
from tests.stan_train.baselines.conftest import FEATURES, FRAMES, KINDS, QUICK, some_clips


@pytest.mark.parametrize("kind", KINDS)
def test_a_baseline_learns_what_three_frames_tell(kind: Kind, fitted: dict[str, Baseline]) -> None:
    features, labels = some_clips(40, seed=1)
    probabilities = predict(fitted[kind], features)
    assert probabilities.shape == (40, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities.argmax(1) == labels).mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_model(kind: Kind, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    short = replace(QUICK, epochs=2)
    state = torch.random.get_rng_state()
    first, again = (fit_baseline(kind, *data, classes=2, config=short) for _ in range(2))
    other = fit_baseline(kind, *data, classes=2, config=replace(short, seed=1))
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(predict(first, data[0]), predict(again, data[0]))
    assert not np.array_equal(predict(first, data[0]), predict(other, data[0]))


def test_pictures_are_standardised_by_training_features_alone() -> None:
    features, labels = some_clips(120, seed=0)
    features[90:] += 100  # validation
    features[..., 5] = 7.0  # never moves
    model = fit_baseline("fcl", features, labels, np.arange(120) >= 90, 2, replace(QUICK, epochs=1))
    picture = model.standardise(features[:90]).numpy()
    np.testing.assert_allclose(picture.mean((0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(np.delete(picture.std((0, 1)), 5), 1, rtol=1e-4)
    assert np.abs(picture[..., 5]).max() < 1e-3
    assert float(model.span) == pytest.approx(np.percentile(picture, 99) - np.percentile(picture, 1), rel=1e-3)


def test_training_stops_when_validation_gets_no_better() -> None:
    """Labels of pure noise: the best epoch is an early one, and its weights are what comes back."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, FRAMES, FEATURES)).astype(np.float32), rng.integers(0, 2, 60)
    held_out = np.arange(60) >= 40

    def fit(epochs: int) -> Baseline:
        return fit_baseline("fcl", features, labels, held_out, 2, BaselineFit(epochs=epochs, patience=3, lr=3e-3))

    np.testing.assert_array_equal(predict(fit(1000), features), predict(fit(2000), features))
    picked = predict(fit(1000), features[held_out])[np.arange(20), labels[held_out]]
    first = predict(fit(1), features[held_out])[np.arange(20), labels[held_out]]
    assert -np.log(picked).mean() <= -np.log(first).mean() + 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((4, 64), np.float32)}, "do not belong together"),
        ({"labels": np.zeros(3, int)}, "do not belong together"),
        ({"held_out": np.ones(4, bool)}, "both need clips"),
        ({"held_out": np.zeros(4, bool)}, "both need clips"),
        ({"labels": np.array([0, 1, 2, 0])}, "outside 0 to 1"),
        ({"features": np.full((4, 8, 64), np.nan, np.float32)}, "not all finite"),
        ({"kind": "svm"}, "No baseline is called 'svm'"),
    ],
)
def test_wrong_training_data_is_refused(change: dict[str, object], message: str) -> None:
    good = {
        "kind": "fcl",
        "features": np.zeros((4, 8, 64), np.float32),
        "labels": np.array([0, 1, 0, 1]),
        "held_out": np.array([False, False, True, True]),
        "classes": 2,
    }
    with pytest.raises(ConfigError, match=message):
        fit_baseline(**(good | change))  # type: ignore[arg-type]
