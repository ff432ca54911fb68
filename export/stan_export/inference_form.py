"""A trained STAN without its training parts: every norm folded into the linear map beside it.

Folding is exact because no BatchNorm and no block LayerNorm meets padding: each one is followed by a 1x1x1
convolution or a Linear. It is also needed: eager PyTorch differentiates a batch-1 BatchNorm on CPU wrongly
when its input is a transposed token view (torch 2.13), so no reference may go through one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stan_train.model import Attention, GlobalBlock, LocalBlock, PatchEmbed, Stan

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """`x @ weight + bias` on channels-last tokens."""

    weight: Array  # [in, out]
    bias: Array  # [out]


@dataclass(frozen=True)
class Depthwise:
    """Zero-padded depthwise 3-D convolution that keeps the grid's shape."""

    kernel: Array  # [C, 1, k, k, k]
    bias: Array  # [C]


@dataclass(frozen=True)
class Embed:
    """A strided convolution as a linear map of patches, then LayerNorm with gain and shift."""

    patch: Linear
    gain: Array  # [C]
    shift: Array  # [C]
    eps: float


@dataclass(frozen=True)
class LocalWeights:
    """Stages 1 and 2; both BatchNorms are inside `conv1` and `fc1`."""

    position: Depthwise
    conv1: Linear
    affinity: Depthwise
    conv2: Linear
    fc1: Linear
    fc2: Linear


@dataclass(frozen=True)
class GlobalWeights:
    """Stages 3 and 4; gain and shift of both LayerNorms are inside `qkv` and `fc1`, whose weights sum to 0 over the
    channels that come in; the scale of the attention is inside the q columns of `qkv`."""

    position: Depthwise
    qkv: Linear
    proj: Linear
    fc1: Linear
    fc2: Linear
    heads: int
    eps: float


@dataclass(frozen=True)
class Stage:
    embed: Embed
    blocks: tuple[LocalWeights | GlobalWeights, ...]


@dataclass(frozen=True)
class InferenceForm:
    """Every number the graphs hold, float32, in the layout they use it in."""

    stages: tuple[Stage, Stage, Stage, Stage]
    head: Linear
    cam_offset: Array  # [classes], see FoldedStan


@dataclass(frozen=True)
class FoldedStan:
    """A STAN whose BatchNorms are identities.

    `network.features` is the input of the final norm, not its output: the class-activation map of class y at
    a cell is `network.head.weight[y] @ features + cam_offset[y]`, with
    `cam_offset = head.weight @ (beta - mean * gamma / sqrt(var + eps))` of the unfolded model.
    """

    network: Stan
    cam_offset: Tensor  # [classes], float64


def fold_batchnorm(model: Stan) -> FoldedStan:
    """A float64 copy in eval mode with the same logits; `model` is left as it is."""
    network = copy.deepcopy(model).double().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, LocalBlock):
            _fold_into(module.norm1, module.conv1)
            _fold_into(module.norm2, module.mlp.fc1)
            module.add_module("norm1", nn.Identity())
            module.add_module("norm2", nn.Identity())
    bias_before = network.head.bias.clone()
    _fold_into(network.norm, network.head)
    network.add_module("norm", nn.Identity())
    return FoldedStan(network, cam_offset=network.head.bias - bias_before)


def inference_form(model: Stan) -> InferenceForm:
    """The weights of a trained model in the form the exported graphs compute with."""
    folded = fold_batchnorm(model)
    network = folded.network
    stages = []
    for index in range(1, 5):
        embed: PatchEmbed = getattr(network, f"patch_embed{index}")
        blocks: nn.Sequential = getattr(network, f"blocks{index}")
        stages.append(Stage(_embed(embed), tuple(_block(block) for block in blocks)))
    first, second, third, fourth = stages
    return InferenceForm((first, second, third, fourth), _linear(network.head), _array(folded.cam_offset))


def _fold_into(norm: nn.BatchNorm3d, following: nn.Conv3d | nn.Linear) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("a BatchNorm without running statistics cannot be folded")
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()  # [C]
    _absorb_affine(following, gain, norm.bias - norm.running_mean * gain)


def _absorb_affine(layer: nn.Conv3d | nn.Linear, gain: Tensor, shift: Tensor) -> None:
    """Change `layer` in place so that it takes x where it took `gain * x + shift`."""
    weight = layer.weight.flatten(1)  # [out, in]
    layer.bias = nn.Parameter(_bias(layer) + weight @ shift, requires_grad=False)
    layer.weight = nn.Parameter((weight * gain).view_as(layer.weight), requires_grad=False)


def _bias(layer: nn.Conv3d | nn.Linear) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _block(block: nn.Module) -> LocalWeights | GlobalWeights:
    if isinstance(block, LocalBlock):
        return LocalWeights(
            position=_depthwise(block.pos_embed),
            conv1=_linear(block.conv1),
            affinity=_depthwise(block.attn),
            conv2=_linear(block.conv2),
            fc1=_linear(block.mlp.fc1),
            fc2=_linear(block.mlp.fc2),
        )
    if isinstance(block, GlobalBlock):
        _absorb_affine(block.attn.qkv, block.norm1.weight, block.norm1.bias)
        _absorb_affine(block.mlp.fc1, block.norm2.weight, block.norm2.bias)
        return GlobalWeights(
            position=_depthwise(block.pos_embed),
            qkv=_centred(_scaled_qkv(block.attn)),
            proj=_linear(block.attn.proj),
            fc1=_centred(_linear(block.mlp.fc1)),
            fc2=_linear(block.mlp.fc2),
            heads=block.attn.heads,
            eps=block.norm1.eps,
        )
    raise TypeError(f"no inference form for a {type(block).__name__}")


def _scaled_qkv(attention: Attention) -> Linear:
    dim = attention.proj.in_features
    scale = attention.qkv.weight.new_ones(3 * dim)
    scale[:dim] = attention.scale
    weight, bias = attention.qkv.weight * scale[:, None], attention.qkv.bias * scale
    return Linear(_array(weight.T), _array(bias))


def _embed(embed: PatchEmbed) -> Embed:
    """Patch columns are ordered (t, y, x, channel), as channels-last pixels lie in memory."""
    weight = embed.proj.weight.permute(2, 3, 4, 1, 0).flatten(0, 3)  # [kt*ky*kx*in, out]
    patch = Linear(_array(weight), _array(_bias(embed.proj)))
    return Embed(patch, _array(embed.norm.weight), _array(embed.norm.bias), embed.norm.eps)


def _depthwise(conv: nn.Conv3d) -> Depthwise:
    return Depthwise(_array(conv.weight), _array(_bias(conv)))


def _centred(layer: Linear) -> Linear:
    """The same map of inputs whose mean over channels is 0, as a norm gives them; its gradient has mean 0, too."""
    return Linear(_array(torch.from_numpy(layer.weight - layer.weight.mean(0, dtype=np.float64))), layer.bias)


def _linear(layer: nn.Conv3d | nn.Linear) -> Linear:
    return Linear(_array(layer.weight.flatten(1).T), _array(_bias(layer)))


def _array(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().cpu().to(torch.float32).numpy())
