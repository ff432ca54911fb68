"""Float64 reference results that travel with the graphs, so that any backend can be held to them.

Computed with PyTorch autograd on the folded network, which shares no code with the graphs beyond the folding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from stan_edge.errors import ConfigError
from stan_edge.model.contract import METHODS, InputSpec, Method
from stan_edge.pipeline.smoothgrad import noise
from stan_export.explainable import Arrays
from stan_export.inference_form import FoldedStan, fold_batchnorm
from stan_export.smoothgrad import SAMPLES
from stan_train.model import GlobalBlock, Stan


@dataclass(frozen=True)
class Clip:
    """One window on its way through the network, float64."""

    pixels: Tensor  # [1, 3, T, H, W], normalised, requires grad
    features: Tensor  # [1, C, T/2, h, w], input of the final norm
    logits: Tensor  # [1, classes]
    last_tokens: Tensor  # [1, N, C], input of the last block behind its position encoding


def record(
    model: Stan,
    input: InputSpec,  # noqa: A002
    clips: npt.NDArray[np.uint8],
    class_index: npt.NDArray[np.int64],
    *,
    samples: int = SAMPLES,
    methods: Sequence[Method] = METHODS,
) -> Arrays:
    """References for `clips` `[N, T, H, W, 3]` explained for `class_index` `[N]` (-1: the predicted class).

    `samples` is the number of noisy copies of SmoothGrad; their noise is that of `stan_edge.smoothgrad`, not recorded.

    Returns `frames` and `class_index` as given, float64 `logits` `[N, classes]`, and per method `scores_<method>`
    `[N, T]` and `map_<method>` `[N, T, h, w]`, with the meaning of the graphs' outputs.

    Raises:
        ConfigError: clips are not of the input's shape, or a class does not exist.
    """
    shape = (input.frames, input.size_px, input.size_px, 3)
    if clips.dtype != np.uint8 or clips.shape[1:] != shape:
        raise ConfigError(
            f"clips are {clips.dtype} {clips.shape}, the model takes uint8 (N, {', '.join(map(str, shape))})."
        )
    classes = model.config.classes
    if class_index.shape != (len(clips),) or not ((class_index >= -1) & (class_index < classes)).all():
        raise ConfigError(f"class_index must hold one number from -1 to {classes - 1} for each clip.")
    folded = fold_batchnorm(model)
    drawn = _channels_first(noise(input, samples)) / (255 * input.std)
    explainers: dict[Method, Callable[[FoldedStan, Clip, int], tuple[Tensor, Tensor]]] = {
        "vanilla": _vanilla,
        "smoothgrad": partial(_smoothgrad, drawn),
        "streaming": partial(_smoothgrad, drawn[:1]),  # as in the first window of a stream
        "gradcam": _gradcam,
        "staa": _staa,
        "staa-grad": _staa_grad,
    }
    rows: dict[str, list[Tensor]] = {}
    for frames, target in zip(clips, class_index, strict=True):
        clip = run_folded(folded, input, frames)
        explained = int(clip.logits.argmax()) if target < 0 else int(target)
        rows.setdefault("logits", []).append(clip.logits[0])
        for method in methods:
            scores, cells = explainers[method](folded, clip, explained)
            rows.setdefault(f"scores_{method}", []).append(scores)
            rows.setdefault(f"map_{method}", []).append(cells)
    recorded: Arrays = {"frames": clips, "class_index": class_index}
    return recorded | {key: torch.stack(value).detach().numpy() for key, value in rows.items()}


def run_folded(folded: FoldedStan, spec: InputSpec, frames: npt.NDArray[np.uint8]) -> Clip:
    """Forward one clip `[T, H, W, 3]` in float64."""
    return _forward(folded, (_channels_first(frames[None]) / 255 - spec.mean) / spec.std)


def _channels_first(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> Tensor:
    """`[N, T, H, W, 3]` to float64 `[N, 3, T, H, W]`."""
    return torch.from_numpy(pixels).double().movedim(-1, 1)


def _forward(folded: FoldedStan, pixels: Tensor) -> Clip:
    """One clip from its normalised pixels `[1, 3, T, H, W]`."""
    network = folded.network
    last = _last_block(network)
    kept: list[Tensor] = []
    hook = last.norm1.register_forward_pre_hook(lambda _module, args: kept.append(args[0]))
    pixels = pixels.detach().requires_grad_()
    features = network.features(pixels)
    hook.remove()
    return Clip(pixels, features, network.head(features.mean((2, 3, 4))), kept[0])


def _last_block(network: Stan) -> GlobalBlock:
    return cast(GlobalBlock, network.get_submodule(f"blocks4.{network.config.depths[3] - 1}"))


def input_gradient(clip: Clip, explained: int) -> Tensor:
    """d logit / d normalised pixel of one class, `[3, T, H, W]`."""
    return torch.autograd.grad(clip.logits[0, explained], clip.pixels, retain_graph=True)[0][0]


def _vanilla(_folded: FoldedStan, clip: Clip, explained: int) -> tuple[Tensor, Tensor]:
    return _scores_and_map(input_gradient(clip, explained))


def _smoothgrad(added: Tensor, folded: FoldedStan, clip: Clip, explained: int) -> tuple[Tensor, Tensor]:
    """`added` is the normalised noise, `[n, 3, T, H, W]`."""
    total = torch.zeros_like(clip.pixels[0])
    for one in added:
        total += input_gradient(_forward(folded, clip.pixels + one), explained)
    return _scores_and_map(total / len(added))


def _scores_and_map(gradient: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = gradient.abs().mean(0)  # [T, H, W]
    return magnitude.mean((1, 2)), F.avg_pool2d(magnitude, 16)


def _gradcam(folded: FoldedStan, clip: Clip, explained: int) -> tuple[Tensor, Tensor]:
    weight = folded.network.head.weight[explained]
    cam = torch.einsum("c,cthw->thw", weight, clip.features[0]) + folded.cam_offset[explained]
    cells = _to_frames(cam.relu())
    return cells.mean((1, 2)), cells


def _staa(folded: FoldedStan, clip: Clip, _explained: int) -> tuple[Tensor, Tensor]:
    softmax, _ = _attention(_last_block(folded.network), clip.last_tokens)
    return _received(softmax, clip)


def _staa_grad(folded: FoldedStan, clip: Clip, explained: int) -> tuple[Tensor, Tensor]:
    """The last block and the head written out from the softmax on, so that autograd can differentiate by it."""
    block, x = _last_block(folded.network), clip.last_tokens[0].detach()
    softmax, v = (part.detach() for part in _attention(block, clip.last_tokens))
    softmax.requires_grad_()
    x = x + block.attn.proj((softmax @ v).movedim(0, 1).flatten(1))
    x = x + block.mlp(block.norm2(x))
    (gradient,) = torch.autograd.grad(folded.network.head(x.mean(0))[explained], softmax)
    return _received((gradient * softmax).relu().detach(), clip)


def _attention(block: GlobalBlock, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax `[heads, queries, keys]` and values `[heads, N, d]` of a block."""
    attention = block.attn
    parts = attention.qkv(block.norm1(tokens))[0].chunk(3, dim=1)  # [N, C] each
    q, k, v = (part.unflatten(1, (attention.heads, -1)).movedim(1, 0) for part in parts)  # [heads, N, d]
    return (attention.scale * q @ k.mT).softmax(-1), v


def _received(attention: Tensor, clip: Clip) -> tuple[Tensor, Tensor]:
    """What tokens receive `[heads, queries, keys]`, as frame scores and map."""
    cells = _to_frames(attention.mean((0, 1)).view_as(clip.features[0, 0]))
    return cells.sum((1, 2)), cells


def _to_frames(token_frames: Tensor) -> Tensor:
    """`[T/2, h, w]` to `[T, h, w]`: an odd frame is the mean of the two tokens that see it."""
    following = torch.cat((token_frames[1:], token_frames[-1:]))
    return torch.stack((token_frames, (token_frames + following) / 2), 1).flatten(0, 1)
