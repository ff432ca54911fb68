"""The references against what shares no code with them: differences, Grad-CAM by autograd, torch's attention."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stan_edge.errors import ConfigError
from stan_edge.model.contract import METHODS
from stan_edge.pipeline.smoothgrad import noise
from stan_export.inference_form import fold_batchnorm
from stan_export.parity import input_gradient, record, run_folded

EPS = 1e-4
"""Step of the central difference in normalised units: its error is near 1e-8 relative in float64 (steps of
1e-3 and 1e-5 agree within 1e-6)."""


def _normalised(exported, frames: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(frames).double().movedim(-1, 0)
    return (pixels / 255 - exported.input.mean) / exported.input.std


def _central_differences(exported, frames: np.ndarray, where: np.ndarray) -> np.ndarray:
    """d logits / d pixel at flat positions of `[3, T, H, W]`, from the unfolded float64 model: `[n, classes]`."""
    model = copy.deepcopy(exported.model).double()
    clip = _normalised(exported, frames)
    rows = []
    for position in where:
        moved = clip.flatten().repeat(2, 1)
        moved[0, position] += EPS
        moved[1, position] -= EPS
        up, down = model(moved.view(2, *clip.shape))
        rows.append((up - down) / (2 * EPS))
    return torch.stack(rows).numpy()


def _check_against_differences(exported, points: int) -> None:
    frames = exported.clips(1, seed=21)[0]
    clip = run_folded(fold_batchnorm(exported.model), exported.input, frames)
    where = np.random.default_rng(3).choice(clip.pixels.numel(), points, replace=False)
    expected = _central_differences(exported, frames, where)
    for explained in range(exported.model.config.classes):
        got = input_gradient(clip, explained).flatten()[where].numpy()
        assert np.abs(got - expected[:, explained]).max() < 1e-6 * np.abs(expected[:, explained]).max()


def test_gradient_equals_central_differences_of_the_unfolded_model(tiny):
    _check_against_differences(tiny, points=80)


def test_attention_gradient_equals_central_differences_of_the_unfolded_model(tiny, monkeypatch):
    """Every entry of the last attention nudged: ReLU(dlogit/dA * A), mean over heads and queries."""
    frames = tiny.clips(1, seed=23)
    model = copy.deepcopy(tiny.model).double()
    attention = model.blocks4[-1].attn
    nudge = torch.zeros((), dtype=torch.float64)
    kept = []

    def explicit(x):
        b, n, c = x.shape
        q, k, v = attention.qkv(x).reshape(b, n, 3, attention.heads, -1).permute(2, 0, 3, 1, 4)
        softmax = (q @ k.transpose(-1, -2) * attention.scale).softmax(-1)
        kept.append(softmax)
        return attention.proj(((softmax + nudge) @ v).transpose(1, 2).reshape(b, n, c))

    clip = _normalised(tiny, frames[0])[None]
    expected = model(clip)
    monkeypatch.setattr(attention, "forward", explicit)
    assert torch.allclose(model(clip), expected)
    softmax = kept[0][0]
    slopes = torch.zeros(3, *softmax.shape, dtype=torch.float64)
    for at in np.ndindex(*softmax.shape):
        values = []
        for sign in (1, -1):
            nudge = torch.zeros_like(softmax)
            nudge[at] = sign * EPS
            values.append(model(clip)[0])
        slopes[(slice(None), *at)] = (values[0] - values[1]) / (2 * EPS)
    received = (slopes * softmax).relu().mean((1, 2)).numpy()  # [classes, N], a token is a pair of frames here
    for explained in range(3):
        recorded = record(tiny.model, tiny.input, frames, np.array([explained]), samples=1, methods=["staa-grad"])
        tokens = received[explained]
        later = np.append(tokens[1:], tokens[-1])
        by_frame = np.stack([tokens, (tokens + later) / 2], axis=1).ravel()
        np.testing.assert_allclose(recorded["scores_staa-grad"][0], by_frame, rtol=1e-6, atol=1e-6 * received.max())


@pytest.mark.slow
def test_gradient_of_stan_t_equals_central_differences(stan_t):
    _check_against_differences(stan_t, points=50)


def test_vanilla_scores_are_mean_absolute_gradients(tiny):
    frames = tiny.clips(1, seed=4)
    recorded = record(tiny.model, tiny.input, frames, np.array([1]))
    gradient = input_gradient(run_folded(fold_batchnorm(tiny.model), tiny.input, frames[0]), 1).abs()
    np.testing.assert_allclose(recorded["scores_vanilla"][0], gradient.mean((0, 2, 3)), rtol=1e-12)
    corner = gradient[:, 2, 16:32, :16].mean()  # frame 2, second row of cells, first column
    np.testing.assert_allclose(recorded["map_vanilla"][0, 2, 1, 0], corner, rtol=1e-12)


def test_smoothgrad_averages_signed_gradients_of_the_unfolded_model(tiny):
    frames, samples = tiny.clips(1, seed=6), 3
    recorded = record(tiny.model, tiny.input, frames, np.array([1]), samples=samples)
    model = copy.deepcopy(tiny.model).double()
    # in one batch of copies: eager autograd through BatchNorm is wrong for a batch of one
    copies = torch.stack([_normalised(tiny, frames[0] + one) for one in noise(tiny.input, samples).astype(np.float64)])
    copies.requires_grad_()
    (gradients,) = torch.autograd.grad(model(copies)[:, 1].sum(), copies)
    magnitude = gradients.mean(0).abs().numpy()  # [3, T, H, W]
    np.testing.assert_allclose(recorded["scores_smoothgrad"][0], magnitude.mean((0, 2, 3)), rtol=1e-9)
    corner = magnitude[:, 2, 16:32, :16].mean()
    np.testing.assert_allclose(recorded["map_smoothgrad"][0, 2, 1, 0], corner, rtol=1e-9)
    assert magnitude.mean() < 0.9 * gradients.abs().mean().item()  # signs cancel


def test_the_class_smoothgrad_explains_is_that_of_the_clean_clip(tiny):
    clips = tiny.clips(1, seed=2).repeat(2, axis=0)
    predicted = int(tiny.record(clips[:1], np.array([-1]))["logits"][0].argmax())
    recorded = tiny.record(clips, np.array([-1, predicted]))
    np.testing.assert_array_equal(*recorded["scores_smoothgrad"])


def test_noise_is_not_recorded(tiny):
    recorded = tiny.record(tiny.clips(1), np.array([0]))
    given = {"frames", "class_index", "logits"}
    assert set(recorded) == given | {f"{kind}_{method}" for kind in ("scores", "map") for method in METHODS}


def test_gradcam_equals_grad_cam_by_autograd_on_the_normed_features(tiny):
    frames = tiny.clips(1, seed=8)
    model = copy.deepcopy(tiny.model).double()
    features = model.features(_normalised(tiny, frames[0])[None]).requires_grad_()  # [1, C, T/2, h, w]
    logits = model.head(features.mean((2, 3, 4)))
    for explained in range(tiny.model.config.classes):
        (gradient,) = torch.autograd.grad(logits[0, explained], features, retain_graph=True)
        weights = gradient.sum((2, 3, 4), keepdim=True)  # of the pooled features, as in the class-activation map
        a = (weights * features).sum(1)[0].relu().detach().numpy()  # [T/2, h, w]
        cells = record(tiny.model, tiny.input, frames, np.array([explained]))["map_gradcam"][0]
        np.testing.assert_allclose(cells[::2], a, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(cells[1:-1:2], (a[:-1] + a[1:]) / 2, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(cells[-1], a[-1], rtol=1e-9, atol=1e-12)


def test_staa_equals_attention_received_in_torch_attention(tiny):
    frames = tiny.clips(1, seed=9)
    model = copy.deepcopy(tiny.model).double()
    last = model.blocks4[-1].attn
    seen = []
    last.qkv.register_forward_hook(lambda _module, _args, output: seen.append(output))
    model(_normalised(tiny, frames[0])[None])
    n = seen[0].shape[1]
    q, k, _ = seen[0].reshape(1, n, 3, last.heads, -1).permute(2, 0, 3, 1, 4)
    identity = torch.eye(n, dtype=torch.double).expand(1, last.heads, n, n)
    softmax = F.scaled_dot_product_attention(q, k, identity)  # the values are the identity
    received = softmax.mean((0, 1, 2)).numpy()
    recorded = record(tiny.model, tiny.input, frames, np.array([0]))
    np.testing.assert_allclose(recorded["map_staa"][0, ::2].ravel(), received, rtol=1e-9)
    np.testing.assert_allclose(recorded["scores_staa"][0], recorded["map_staa"][0].sum((1, 2)), rtol=1e-12)


def test_minus_one_is_the_predicted_class(tiny):
    clips = tiny.clips(1, seed=2).repeat(2, axis=0)
    predicted = int(record(tiny.model, tiny.input, clips[:1], np.array([-1]))["logits"][0].argmax())
    recorded = record(tiny.model, tiny.input, clips, np.array([-1, predicted]))
    for key in ("scores_vanilla", "scores_gradcam", "map_vanilla"):
        np.testing.assert_array_equal(recorded[key][0], recorded[key][1])


def test_wrong_clips_and_classes_are_refused(tiny):
    clips = tiny.clips(1)
    with pytest.raises(ConfigError, match="the model takes uint8"):
        record(tiny.model, tiny.input, clips[:, :4], np.array([0]))
    with pytest.raises(ConfigError, match="from -1 to 2"):
        record(tiny.model, tiny.input, clips, np.array([3]))
