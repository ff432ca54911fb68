from __future__ import annotations

import numpy as np
import pytest
import torch

from stan_edge.errors import ConfigError
from stan_train.baselines.frame_scores import SMOOTH_SIGMA, Method, frame_scores
from stan_train.baselines.network import Baseline, Kind, predict
from tests.stan_train.baselines.conftest import FEATURES, FRAMES, KINDS, some_clips

SCORED: list[tuple[Kind, Method]] = [(kind, method) for kind in KINDS for method in ("vanilla", "smoothgrad")]
SCORED += [("cnn", "gradcam")]


def _exact(kind: Kind, frames: int = 4, features: int = 12) -> Baseline:
    """An untrained model in float64 with a scale of its own."""
    torch.manual_seed(0)
    model = Baseline(kind, frames, features, classes=3)
    model.learn_scale(np.random.default_rng(0).normal(2, 3, (20, frames, features)))
    return model.double()


@pytest.mark.parametrize(("kind", "method"), [scored for scored in SCORED if scored[0] != "lstm"])
def test_the_frames_that_tell_the_class_score_highest(kind: Kind, method: Method, fitted: dict[str, Baseline]) -> None:
    features, labels = some_clips(40, seed=1)
    scores = np.mean(
        [
            frame_scores(fitted[kind], clip[None], 1, method, 10)[0]
            for clip, label in zip(features, labels, strict=True)
            if label
        ],
        axis=0,
    )
    assert scores.shape == (FRAMES,)
    assert set(np.argsort(scores)[-3:]) == {3, 4, 5}


@pytest.mark.parametrize(("kind", "method"), SCORED)
def test_scores_repeat_and_are_not_negative(kind: Kind, method: Method, fitted: dict[str, Baseline]) -> None:
    clip = some_clips(2, seed=3)[0][1]
    scores = frame_scores(fitted[kind], clip[None], 1, method, 5)[0]
    np.testing.assert_array_equal(scores, frame_scores(fitted[kind], clip[None], 1, method, 5)[0])
    assert (scores >= 0).all()
    assert scores.max() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_vanilla_is_the_slope_of_the_logit(kind: Kind) -> None:
    """Central differences in float64 of the model over its standardised picture."""
    model = _exact(kind)
    clip = np.random.default_rng(1).normal(2, 3, (4, 12))
    picture, step = model.standardise(clip), 1e-6
    slopes = np.zeros((4, 12))
    for t in range(4):
        for d in range(12):
            nudge = torch.zeros_like(picture)
            nudge[t, d] = step
            both = model(torch.stack([picture + nudge, picture - nudge]))[:, 2].detach()
            slopes[t, d] = float(both[0] - both[1]) / (2 * step)
    np.testing.assert_allclose(frame_scores(model, clip[None], 2, "vanilla")[0], np.abs(slopes).mean(1), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_pass_gradcheck(kind: Kind) -> None:
    model = _exact(kind)
    picture = torch.randn(2, 4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(model, picture.requires_grad_())


def test_a_linear_model_scores_by_its_weights() -> None:
    """Its gradient is the weights, whatever the clip and the noise."""
    model = _exact("fcl")
    weights = model.state_dict()["network.fc.weight"][1].view(4, 12).abs().mean(1).numpy()
    clip = np.random.default_rng(1).normal(2, 3, (4, 12))
    np.testing.assert_allclose(frame_scores(model, clip[None], 1, "vanilla")[0], weights, rtol=1e-12)
    np.testing.assert_allclose(frame_scores(model, clip[None], 1, "smoothgrad")[0], weights, rtol=1e-12)


def test_smoothgrad_is_the_mean_gradient_of_noisy_pictures() -> None:
    model = _exact("cnn")
    clip = np.random.default_rng(1).normal(2, 3, (4, 12))
    generator = torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(3):
        noise = torch.randn(4, 12, generator=generator).double() * SMOOTH_SIGMA * model.span
        noisy = (model.standardise(clip) + noise).requires_grad_()
        model(noisy[None])[0, 1].backward()  # type: ignore[no-untyped-call]
        gradients.append(noisy.grad)
    expected = torch.stack(gradients).mean(0).abs().mean(1).numpy()  # type: ignore[arg-type]
    np.testing.assert_allclose(frame_scores(model, clip[None], 1, "smoothgrad", copies=3)[0], expected, rtol=1e-10)


def test_gradcam_follows_its_formula() -> None:
    """Convolution, pooling and slopes (central differences) written a second time."""
    model = _exact("cnn", features=70)
    model.network.conv.bias.data += 3  # no group of 8 is all zero: the slope of a maximum of equals is anyone's choice
    clip = np.random.default_rng(1).normal(2, 3, (4, 70))
    w = {key: value.numpy() for key, value in model.state_dict().items()}
    padded = np.pad(model.standardise(clip).numpy(), ((1, 1), (3, 3)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 7))[:, ::4]  # [4, 18, 3, 7]
    maps = np.einsum("okl,tdkl->otd", w["network.conv.weight"][:, 0], patches) + w["network.conv.bias"][:, None, None]
    maps = np.maximum(maps, 0)

    def logit(maps: np.ndarray) -> float:
        pooled = np.stack([maps[..., at : at + 8].max(2) for at in (0, 8, 16)], axis=2).ravel()
        hidden = np.maximum(w["network.fc1.weight"] @ pooled + w["network.fc1.bias"], 0)
        return float(w["network.fc2.weight"][1] @ hidden + w["network.fc2.bias"][1])

    slopes = np.zeros_like(maps)
    for at in np.ndindex(*maps.shape):
        nudge = np.zeros_like(maps)
        nudge[at] = 1e-7
        slopes[at] = (logit(maps + nudge) - logit(maps - nudge)) / 2e-7
    expected = np.maximum((slopes.mean((1, 2))[:, None, None] * maps).sum(0), 0).mean(1)
    scores = frame_scores(model, clip[None], 1, "gradcam")[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize(("kind", "method"), SCORED)
def test_clips_are_scored_each_by_itself(kind: Kind, method: Method, fitted: dict[str, Baseline]) -> None:
    clips = some_clips(40, seed=3)[0]  # more than go through the network at a time
    scores = frame_scores(fitted[kind], clips, 1, method, 5)
    assert scores.shape == (40, FRAMES)
    alone = np.stack([frame_scores(fitted[kind], clip[None], 1, method, 5)[0] for clip in clips[[0, 35]]])
    np.testing.assert_allclose(scores[[0, 35]], alone, rtol=1e-3, atol=1e-6 * scores.max())


def test_wrong_questions_are_refused(fitted: dict[str, Baseline]) -> None:
    clip = some_clips(2, seed=3)[0][1]
    with pytest.raises(ConfigError, match="fcl has none"):
        frame_scores(fitted["fcl"], clip[None], 1, "gradcam")
    with pytest.raises(ConfigError, match="No method is called 'shap'"):
        frame_scores(fitted["fcl"], clip[None], 1, "shap")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Class 2 does not exist"):
        frame_scores(fitted["fcl"], clip[None], 2, "vanilla")
    with pytest.raises(ConfigError, match="cut longer sequences"):
        frame_scores(fitted["fcl"], clip[None, :5], 1, "vanilla")
    with pytest.raises(ConfigError, match="noisy copy"):
        frame_scores(fitted["cnn"], clip[None], 1, "smoothgrad", copies=0)


@pytest.mark.parametrize("kind", KINDS)
def test_both_views_side_by_side_are_just_longer_features(kind: Kind) -> None:
    model = Baseline(kind, FRAMES, 2 * FEATURES, classes=2)
    one, other = some_clips(3, seed=0)[0], some_clips(3, seed=1)[0]
    assert predict(model, np.concatenate([one, other], axis=2)).shape == (3, 2)
