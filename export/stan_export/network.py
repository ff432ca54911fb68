"""STAN as ONNX nodes: pixels in, features and logits out, and the way back to the pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_export.builder import GraphBuilder
from stan_export.convolutions import Convolutions
from stan_export.gradient import (
    AttentionProbe,
    Grid,
    Operator,
    affine,
    attention,
    chain,
    gelu,
    linear,
    patches,
    residual,
    standardize,
)
from stan_export.inference_form import GlobalWeights, InferenceForm, Linear, LocalWeights, Stage

PATCH = 4
"""Side of the stem's patches in pixels."""
PIXELS = PATCH * PATCH * 3
"""Numbers in a patch of one frame, ordered (y, x, channel)."""


@dataclass(frozen=True)
class PatchGradient:
    """Gradient with respect to the normalised pixels, one row per stem patch, `[B, T/2, h*w, 48]`."""

    even: str
    odd: str


@dataclass(frozen=True)
class Trunk:
    """What the network makes of the frames, as values of the graph."""

    features: str  # [B, N, C], input of the final norm
    softmax: str  # [B, heads, N, N] of the last block
    grid: Grid  # of the features
    stem_grid: Grid
    to_stem: Callable[[str], str]
    """Pullback from the gradient with respect to `features`, `[B, N or 1, C]`, to that with respect to the tokens
    that the stem makes of the pixels."""
    to_patches: Callable[[str], PatchGradient]
    """Pullback from there to the pixels; linear, and the same for every clip."""
    to_softmax: Callable[[str], str]
    """Pullback from the features to `softmax`."""


def check_input(spec: InputSpec) -> None:
    """Refuse window shapes the graphs do not take.

    Raises:
        ConfigError: `frames` is odd (the stem pairs frames), or `size_px` is no multiple of 16.
    """
    if spec.frames % 2:
        raise ConfigError(f"frames is {spec.frames}, but the stem joins frames in pairs; train with an even number.")
    if spec.size_px % 16:
        raise ConfigError(
            f"size_px is {spec.size_px}, but score maps have cells of 16 pixels; train with a multiple of 16."
        )


def trunk(g: GraphBuilder, convolutions: Convolutions, weights: InferenceForm, pixels: str, spec: InputSpec) -> Trunk:
    """Append the network up to its head; `pixels` are gray levels, float32 `[B, T, H, W, 3]`."""
    side = spec.size_px // PATCH
    stem_grid = grid = Grid(spec.frames // 2, side, side)
    x, to_patches = _stem(g, weights.stages[0].embed.patch, pixels, spec, grid)
    probe = AttentionProbe()
    operators: list[Operator] = []
    channels = 0
    for index, stage in enumerate(weights.stages):
        if index:
            operators += [patches(g, channels, grid), linear(g, stage.embed.patch)]
            grid = Grid(grid.t, grid.h // 2, grid.w // 2)
        channels = len(stage.embed.gain)
        operators += _stage(g, convolutions, stage, channels, grid, probe)
    features, pullback = chain(*operators)(x)

    def to_softmax(dfeatures: str) -> str:
        pullback(dfeatures)  # what lies before the last attention is needed by nothing, and left out in the end
        return probe.dsoftmax

    return Trunk(features, probe.softmax, grid, stem_grid, pullback, to_patches, to_softmax)


def head(g: GraphBuilder, weights: InferenceForm, features: str) -> str:
    """Logits `[B, classes]` from features `[B, N, C]`."""
    pooled = g.reduce("ReduceMean", features, 1)  # [B, C]
    logits, _ = linear(g, weights.head)(pooled)
    return logits


def _stage(
    g: GraphBuilder, cv: Convolutions, stage: Stage, channels: int, grid: Grid, probe: AttentionProbe
) -> list[Operator]:
    embed = stage.embed
    operators = [standardize(g, channels, embed.eps, centred=False), affine(g, embed.gain, embed.shift)]
    blocks = stage.blocks  # of one kind
    local = [operator for block in blocks if isinstance(block, LocalWeights) for operator in _local(g, cv, block, grid)]
    if local:
        operators += [cv.spread(channels, grid), *local, cv.gather(channels, grid)]
    for block in blocks:
        if isinstance(block, GlobalWeights):
            operators += _global(g, cv, block, channels, grid, probe)
    return operators


def _local(g: GraphBuilder, cv: Convolutions, block: LocalWeights, grid: Grid) -> list[Operator]:
    # the residual is not 1 more in the middle of the kernel: it saves nothing that can be measured, and in bfloat16 the
    # small weight is rounded away
    return [
        residual(g, cv.depthwise(block.position, grid)),
        residual(g, cv.pointwise(block.conv1), cv.depthwise(block.affinity, grid), cv.pointwise(block.conv2)),
        residual(g, cv.pointwise(block.fc1), gelu(g), cv.pointwise(block.fc2, 0.5)),
    ]


def _global(
    g: GraphBuilder, cv: Convolutions, block: GlobalWeights, channels: int, grid: Grid, probe: AttentionProbe
) -> list[Operator]:
    return [
        residual(g, cv.spread(channels, grid), cv.depthwise(block.position, grid), cv.gather(channels, grid)),
        residual(
            g,
            standardize(g, channels, block.eps, centred=True),
            linear(g, block.qkv),
            attention(g, block.heads, channels, grid, probe),
            linear(g, block.proj),
        ),
        residual(
            g,
            standardize(g, channels, block.eps, centred=True),
            linear(g, block.fc1),
            gelu(g),
            linear(g, block.fc2, 0.5),
        ),
    ]


def _stem(
    g: GraphBuilder, patch: Linear, pixels: str, spec: InputSpec, grid: Grid
) -> tuple[str, Callable[[str], PatchGradient]]:
    """Patch embedding of the pixels: token k sees frames 2k-1 (before the first: the mean), 2k and 2k+1.

    The 3x4x4 kernel with stride 2x4x4 is a linear map of 4x4 patches, so that its gradient needs neither a
    transposed convolution nor the pixels put back in order: the scores are means over patches. The gradient is of
    the normalised pixels, although the weights take gray levels, which saves a pass over the clip; less a whole number
    near their mean, which bfloat16 has exactly.
    """
    t, cells = grid.t, grid.cells
    before, even, odd = np.split(patch.weight, 3)  # [48, C] each

    def to_patches(dy: str) -> PatchGradient:
        dy = g.reshape(dy, -1, t, cells, len(patch.bias))
        later = g.take(_pad_frames(g, dy, after=1), 1, 1, t + 1)  # that of token k+1
        dodd = g.node("MatMul", g.node("Concat", dy, later, axis=3), g.constant(np.concatenate([odd.T, before.T])))
        return PatchGradient(even=g.node("MatMul", dy, g.constant(even.T)), odd=dodd)

    per_level = (patch.weight.astype(np.float64) / (255 * spec.std)).astype(np.float32)
    mean, middle = 255 * spec.mean, round(255 * spec.mean)
    bias = patch.bias + per_level.sum(0, dtype=np.float64) * (middle - mean)
    x = g.node("Sub", pixels, g.scalar(middle))
    x = g.transpose(g.reshape(x, -1, 2, grid.h, PATCH, grid.w, PATCH * 3), 0, 2, 4, 1, 3, 5)
    x = g.reshape(x, -1, t, cells, 2 * PIXELS)
    earlier = g.take(_pad_frames(g, g.take(x, 3, PIXELS, 2 * PIXELS), before=1, level=mean - middle), 1, 0, t)
    y_pair = g.node("MatMul", x, g.constant(per_level[PIXELS:]))
    y_before = g.node("MatMul", earlier, g.constant(per_level[:PIXELS]))
    y = g.node("Add", g.node("Add", y_pair, y_before), g.constant(bias.astype(np.float32)))
    return g.reshape(y, -1, grid.tokens, len(patch.bias)), to_patches


def _pad_frames(g: GraphBuilder, x: str, *, before: int = 0, after: int = 0, level: float = 0.0) -> str:
    """Token-frames of one value around `[B, T/2, cells, width]`."""
    return g.node("Pad", x, g.constant(np.array([0, before, 0, 0, 0, after, 0, 0], np.int64)), g.scalar(level))
