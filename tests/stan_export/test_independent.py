"""The exported graphs against captum, which shares no line with them: nothing is folded, and torch differentiates.

Everything of the reference is float64 and in batches of at least two: eager torch differentiates a BatchNorm wrongly
for a batch of one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam, LayerGradientXActivation, NoiseTunnel, Saliency
from torch import Tensor, nn

from stan_edge.model.contract import METHODS
from stan_train.model import Attention, Stan
from tests.stan_export.conftest import Exported

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5
"""Of the largest value of a clip; the bar of the project is 1e-4."""
Explained = dict[str, tuple[np.ndarray, np.ndarray]]
"""By method: frame scores `[n, T]` and map `[n, T, h, w]`."""


class Attended(nn.Module):
    """An attention of the network with its softmax as a layer that captum can be pointed at."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.of = attention
        self.softmax = nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (self.of.heads, -1)).transpose(1, 2) for part in self.of.qkv(x).chunk(3, -1))
        mixed = self.softmax(q @ k.mT / q.shape[-1] ** 0.5) @ v  # [B, heads, N, d]
        return self.of.proj(mixed.transpose(1, 2).flatten(2))


def torchs_own(attention: Attention) -> nn.MultiheadAttention:
    peer = nn.MultiheadAttention(attention.proj.in_features, attention.heads, batch_first=True).double().eval()
    peer.load_state_dict(
        {
            "in_proj_weight": attention.qkv.weight,
            "in_proj_bias": attention.qkv.bias,
            "out_proj.weight": attention.proj.weight,
            "out_proj.bias": attention.proj.bias,
        }
    )
    return peer.requires_grad_(False)


def unfolded(exported: Exported) -> Stan:
    return copy.deepcopy(exported.model).double()


def normalised(exported: Exported, frames: np.ndarray) -> Tensor:
    """Gray levels `[n, T, H, W, 3]` as pixels `[n, 3, T, H, W]` that want a gradient."""
    pixels = torch.from_numpy(frames.astype(np.float64)).movedim(-1, 1)
    return ((pixels / 255 - exported.input.mean) / exported.input.std).requires_grad_()


def of_gradient(gradient: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean magnitude of a gradient `[n, 3, T, H, W]` over channels, and over frames or cells of 16 pixels."""
    magnitude = gradient.detach().abs().mean(1).numpy()
    n, t, h, w = magnitude.shape
    return magnitude.mean((2, 3)), magnitude.reshape(n, t, h // 16, 16, w // 16, 16).mean((3, 5))


def of_tokens(tokens: Tensor, frames: int) -> np.ndarray:
    """`[n, T/2, h, w]` at frames 0, 2, 4, ... to `[n, T, h, w]`: what lies between two is half-way between them."""
    values = tokens.detach().numpy()
    known = np.arange(0, frames, 2)
    return np.apply_along_axis(lambda column: np.interp(np.arange(frames), known, column), 1, values)


def captum_says(exported: Exported, clips: np.ndarray, explained: int) -> Explained:
    """All methods for one class of several clips."""
    model, frames = unfolded(exported), exported.input.frames
    clean = normalised(exported, clips)
    signed = [
        Saliency(model).attribute(normalised(exported, clips + one), target=explained, abs=False)
        for one in exported.noise
    ]
    said = {
        "vanilla": of_gradient(Saliency(model).attribute(clean, target=explained, abs=False)),
        "smoothgrad": of_gradient(torch.stack(signed).mean(0)),
        "streaming": of_gradient(signed[0]),
    }
    cam = LayerGradCam(model, model.norm).attribute(clean, target=explained, relu_attributions=True)
    grid = cam.shape[2:]
    # captum averages the gradient over positions; of a head that is mean -> Linear this is W / positions
    cells = of_tokens(cam[:, 0] * grid.numel(), frames)
    said["gradcam"] = cells.mean((2, 3)), cells
    last = model.blocks4[-1].attn
    seen = LayerActivation(model, last).attribute(clean, attribute_to_layer_input=True)  # [n, N, C]
    _, attended = torchs_own(last)(seen, seen, seen, average_attn_weights=True)  # [n, queries, keys]
    cells = of_tokens(attended.mean(1).unflatten(1, grid), frames)
    said["staa"] = cells.sum((2, 3)), cells
    model.blocks4[-1].attn = Attended(last)
    speaking = LayerGradientXActivation(model, model.blocks4[-1].attn.softmax).attribute(clean, target=explained)
    cells = of_tokens(speaking.relu().mean((1, 2)).unflatten(1, grid), frames)
    said["staa-grad"] = cells.sum((2, 3)), cells
    assert set(said) == set(METHODS)
    return said


def error(got: np.ndarray, expected: np.ndarray, floor: float = 0.0) -> float:
    """Largest difference over the largest expected value."""
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), floor))


@cache
def _by_captum(exported: Exported, explained: int) -> tuple[np.ndarray, Explained]:
    clips = exported.clips(4, seed=501)
    return clips, captum_says(exported, clips, explained)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_equals_captum_for_every_class(method, tiny, engine):
    run = engine(tiny.folder / f"explain-{method}.onnx")
    largest = max(_by_captum(tiny, k)[1][method][0].max() for k in range(3))
    for explained in range(tiny.model.config.classes):
        clips, said = _by_captum(tiny, explained)
        for k, clip in enumerate(clips):
            got = run(frames=clip[None], class_index=np.array([explained]), noise=tiny.noise)
            for output, expected in zip(("frame_scores", "map"), said[method], strict=True):
                assert error(got[output][0], expected[k], 1e-3 * largest) < TOLERANCE, (explained, k, output)


def test_attention_written_out_is_the_attention_of_the_network(tiny):
    """Otherwise the two references for attention would be of another network."""
    model, pixels = unfolded(tiny), normalised(tiny, tiny.clips(2, seed=502))
    last = model.blocks4[-1].attn
    x = LayerActivation(model, last).attribute(pixels, attribute_to_layer_input=True)
    for other in (Attended(last)(x), torchs_own(last)(x, x, x)[0]):
        torch.testing.assert_close(other, last(x), rtol=1e-12, atol=1e-12)


def test_smoothgrad_equals_captums_noise_tunnel_with_the_noise_that_it_drew(tiny, engine):
    """The graph is handed what `NoiseTunnel` added to the clip."""
    model, fed = unfolded(tiny), []

    def watched(pixels: Tensor) -> Tensor:
        fed.append(pixels.detach())
        return model(pixels)

    run = engine(tiny.folder / "explain-smoothgrad.onnx")
    clip = tiny.clips(1, seed=503)
    clean = normalised(tiny, clip)
    torch.manual_seed(0)
    for explained in range(tiny.model.config.classes):
        fed.clear()
        signed = NoiseTunnel(Saliency(watched)).attribute(
            clean, nt_type="smoothgrad", nt_samples=tiny.samples, stdevs=0.667, target=explained, abs=False
        )
        (noisy,) = (pixels for pixels in fed if len(pixels) == tiny.samples)
        added = ((noisy - clean.detach()) * 255 * tiny.input.std).movedim(1, -1).numpy().astype(np.float32)
        assert added.std() == pytest.approx(0.15 * 255, rel=0.05)
        got = run(frames=clip, class_index=np.array([explained]), noise=added)
        for output, expected in zip(("frame_scores", "map"), of_gradient(signed), strict=True):
            assert error(got[output], expected) < TOLERANCE, (explained, output)


def _by_autograd(exported: Exported, clip: np.ndarray) -> Iterator[Explained]:
    """As `captum_says` for each class of one clip, `n` = 1, from one forward pass of the clip and its noisy copies:
    captum would take a pass for each class and method, half an hour in all for the test below."""
    model, frames = unfolded(exported), exported.input.frames
    model.blocks4[-1].attn = Attended(model.blocks4[-1].attn)
    kept: dict[str, Tensor] = {}
    for name, layer in (("softmax", model.blocks4[-1].attn.softmax), ("features", model.norm)):
        layer.register_forward_hook(lambda _layer, _args, output, name=name: kept.update({name: output}))
    pixels = normalised(exported, clip[None] + np.concatenate([np.zeros_like(exported.noise[:1]), exported.noise]))
    logits = model(pixels)
    grid = kept["features"].shape[2:]
    for explained in range(logits.shape[1]):
        at_pixels, at_features, at_softmax = torch.autograd.grad(
            logits[:, explained].sum(), (pixels, kept["features"], kept["softmax"]), retain_graph=True
        )
        weights = at_features.sum((2, 3, 4), keepdim=True)
        cam = of_tokens((weights * kept["features"]).sum(1)[:1].relu(), frames)
        received = of_tokens(kept["softmax"][:1].mean((1, 2)).unflatten(1, grid), frames)
        speaking = of_tokens((at_softmax * kept["softmax"])[:1].relu().mean((1, 2)).unflatten(1, grid), frames)
        yield {
            "vanilla": of_gradient(at_pixels[:1]),
            "smoothgrad": of_gradient(at_pixels[1:].mean(0, keepdim=True)),
            "streaming": of_gradient(at_pixels[1:2]),
            "gradcam": (cam.mean((2, 3)), cam),
            "staa": (received.sum((2, 3)), received),
            "staa-grad": (speaking.sum((2, 3)), speaking),
        }


def test_one_forward_pass_for_all_classes_says_what_captum_says(tiny):
    clip = tiny.clips(1, seed=504)
    for explained, said in enumerate(_by_autograd(tiny, clip[0])):
        by_captum = captum_says(tiny, clip.repeat(2, axis=0), explained)
        for method in METHODS:
            for one, other in zip(said[method], by_captum[method], strict=True):
                np.testing.assert_allclose(one[0], other[0], rtol=1e-9, atol=1e-9 * other.max())


@pytest.fixture(scope="module")
def said_of_stan_t(stan_t: Exported) -> tuple[np.ndarray, list[list[Explained]]]:
    """20 fresh clips, and what is true of each of their classes."""
    clips = stan_t.clips(20, seed=505)
    return clips, [list(_by_autograd(stan_t, clip)) for clip in clips]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stan_t_equals_float64_for_20_fresh_clips_and_every_class(method, stan_t, said_of_stan_t, engine):
    """Each clip and class within 1e-4 of its own largest score (of a thousandth of the largest of all, where a
    class-activation map is all but zero)."""
    clips, said = said_of_stan_t
    run = engine(stan_t.folder / f"explain-{method}.onnx")
    largest = [max(classes[k][method][output].max() for classes in said for k in range(4)) for output in (0, 1)]
    for clip, classes in zip(clips, said, strict=True):
        for explained, truth in enumerate(classes):
            got = run(frames=clip[None], class_index=np.array([explained]), noise=stan_t.noise)
            for number, output in enumerate(("frame_scores", "map")):
                wrong = error(got[output], truth[method][number], 1e-3 * largest[number])
                assert wrong < 1e-4, (explained, output, wrong)
