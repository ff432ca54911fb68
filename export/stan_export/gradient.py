"""Operators with their input gradient, as ONNX nodes.

Each function appends the forward nodes and returns the result with its *pullback*: a function that appends
the nodes of the gradient with respect to the operator's input, given the gradient with respect to its output
(reverse-mode differentiation, as `jax.vjp`). A graph that never calls the pullback holds no backward nodes.

Written out by hand instead of traced: eight rules are less than the decompositions a traced
`torch.autograd.grad` needs, no constant of a tracing input can enter, and the layout is ours. The proof is
in the tests: float64 autograd on the folded model, and central differences on the unfolded one.

Values are channels-last tokens `[B, N, C]`, N = T' * H' * W'. A gradient may be `[B, 1, C]` where it is the
same for all tokens; it broadcasts at the first operator that depends on the token.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from stan_export.builder import GraphBuilder
from stan_export.inference_form import Array, Linear

Pullback = Callable[[str], str]
Operator = Callable[[str], tuple[str, Pullback]]


@dataclass(frozen=True)
class Grid:
    """The space-time shape of a token sequence; the batch is any, and every Reshape says -1 there."""

    t: int
    h: int
    w: int

    @property
    def cells(self) -> int:
        return self.h * self.w

    @property
    def tokens(self) -> int:
        return self.t * self.cells


def chain(*operators: Operator) -> Operator:
    """One operator after the other."""

    def apply(x: str) -> tuple[str, Pullback]:
        pullbacks = []
        for operator in operators:
            x, pullback = operator(x)
            pullbacks.append(pullback)
        return x, lambda dy: reduce(lambda d, pull: pull(d), reversed(pullbacks), dy)

    return apply


def residual(g: GraphBuilder, *operators: Operator) -> Operator:
    """`x + f(x)`."""

    def apply(x: str) -> tuple[str, Pullback]:
        fx, pullback = chain(*operators)(x)
        return g.node("Add", x, fx), lambda dy: g.node("Add", dy, pullback(dy))

    return apply


def linear(g: GraphBuilder, layer: Linear, gain: float = 1.0) -> Operator:
    """`x @ weight + bias`.

    Args:
        gain: the gradient comes out times this.
    """

    def apply(x: str) -> tuple[str, Pullback]:
        y = g.node("MatMul", x, g.constant(layer.weight))
        y = g.node("Add", y, g.constant(layer.bias))

        def pullback(dy: str) -> str:
            weight = transposed(g, layer.weight)
            return g.node("MatMul", dy, weight if gain == 1 else g.node("Mul", weight, g.scalar(gain)))

        return y, pullback

    return apply


def transposed(g: GraphBuilder, weight: Array) -> str:
    """The transpose of a forward weight, for the backward pass.

    The initializer is shared with the forward pass, so that a bundle is not twice its size, except when it
    is square: OpenVINO's CPU plugin (2026.4) takes such a weight for its transpose, and the frame scores of
    stan-t are off by 13 % while the logits agree to 1e-6.
    """
    if weight.shape[0] == weight.shape[1]:
        return g.constant(weight.T)
    return g.transpose(g.constant(weight), 1, 0)


def gelu(g: GraphBuilder) -> Operator:
    """Exact GELU `x * Phi(x)`; its derivative is `Phi(x) + x * phi(x)`, written with 9 passes over x instead of 11
    because half of dy is asked for: the layer behind it gives that for nothing.

    The erf is not shared with the forward pass: that is slower, since two more tensors go through memory.
    """

    def apply(x: str) -> tuple[str, Pullback]:
        def pullback(dy: str) -> str:
            u = g.node("Mul", x, g.scalar(math.sqrt(0.5)))
            exponent = g.node("Sub", g.scalar(math.log(2 / math.sqrt(math.pi))), g.node("Mul", u, u))
            twice = g.node("Add", g.node("Erf", u), g.node("Mul", u, g.node("Exp", exponent)))
            return g.node("Mul", dy, g.node("Add", twice, g.scalar(1.0)))

        return g.node("Gelu", x), pullback

    return apply


def standardize(g: GraphBuilder, channels: int, eps: float, *, centred: bool) -> Operator:
    """LayerNorm over channels without gain and shift: `z = (x - mean) / sqrt(var + eps)`.

    Gradient: `(dz - mean(dz) - z * mean(dz * z)) / sqrt(var + eps)`. The deviation is computed beside the
    norm, because TensorRT refuses a LayerNormalization with three outputs.

    Args:
        centred: what comes next is a linear map whose weights sum to 0 over these channels; then so does dz.
    """

    def apply(x: str) -> tuple[str, Pullback]:
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        z = g.node("LayerNormalization", x, g.constant(ones), g.constant(zeros), axis=-1, epsilon=eps)

        def pullback(dz: str) -> str:
            deviations = g.node("Sub", x, _mean(g, x))
            variance = _mean(g, g.node("Mul", deviations, deviations))
            deviation = g.node("Sqrt", g.node("Add", variance, g.scalar(eps)))
            along = g.node("Mul", z, _mean(g, g.node("Mul", dz, z)))
            if not centred:
                dz = g.node("Sub", dz, _mean(g, dz))
            return g.node("Div", g.node("Sub", dz, along), deviation)

        return z, pullback

    return apply


def _mean(g: GraphBuilder, x: str) -> str:
    return g.reduce("ReduceMean", x, -1, keepdims=True)


def affine(g: GraphBuilder, gain: Array, shift: Array) -> Operator:
    """`x * gain + shift` per channel."""

    def apply(x: str) -> tuple[str, Pullback]:
        y = g.node("Add", g.node("Mul", x, g.constant(gain)), g.constant(shift))
        return y, lambda dy: g.node("Mul", dy, g.constant(gain))

    return apply


@dataclass
class AttentionProbe:
    """Keeps the softmax `[B, heads, N, N]` of the last attention it is handed to, and once pulled back its gradient."""

    softmax: str = ""
    dsoftmax: str = ""


def attention(g: GraphBuilder, heads: int, channels: int, grid: Grid, probe: AttentionProbe) -> Operator:
    """Softmax attention from `[B, N, 3C]` (q already scaled, k, v) to `[B, N, C]`.

    With P the softmax and O = P V: `dV = P' dO`, `dS = P * (dO V' - rowsum(dO * O))`, `dQ = dS K`,
    `dK = dS' Q`; the row sum over channels equals `rowsum(P * dP)` over tokens and is N / d times smaller.
    """
    width = channels // heads
    split = (-1, grid.tokens, heads, width)

    def to_heads(x: str, *order: int) -> str:
        return g.transpose(g.reshape(x, *split), *order)

    def from_heads(x: str, *order: int) -> str:
        return g.reshape(g.transpose(x, *order), -1, grid.tokens, channels)

    def apply(x: str) -> tuple[str, Pullback]:
        q, k, v = g.nodes("Split", 3, x, axis=2, num_outputs=3)
        q, v = to_heads(q, 0, 2, 1, 3), to_heads(v, 0, 2, 1, 3)  # [B, heads, N, d]
        k = to_heads(k, 0, 2, 3, 1)  # [B, heads, d, N]
        softmax = g.node("Softmax", g.node("MatMul", q, k), axis=-1)  # [B, heads, N, N]
        out = g.node("MatMul", softmax, v)
        probe.softmax = softmax

        def pullback(dy: str) -> str:
            dout = to_heads(dy, 0, 2, 1, 3)
            dv = g.node("MatMul", to_heads(dy, 0, 2, 3, 1), softmax)  # [B, heads, d, N]
            dsoftmax = g.node("MatMul", dout, g.transpose(v, 0, 1, 3, 2))
            if probe.softmax == softmax:
                probe.dsoftmax = dsoftmax
            row_sum = g.reduce("ReduceSum", g.node("Mul", dout, out), -1, keepdims=True)
            dscores = g.node("Mul", softmax, g.node("Sub", dsoftmax, row_sum))
            dq = g.node("MatMul", dscores, g.transpose(k, 0, 1, 3, 2))
            dk = g.node("MatMul", g.transpose(q, 0, 1, 3, 2), dscores)  # [B, heads, d, N]
            parts = (from_heads(dq, 0, 2, 1, 3), from_heads(dk, 0, 3, 1, 2), from_heads(dv, 0, 3, 1, 2))
            return g.node("Concat", *parts, axis=2)

        return from_heads(out, 0, 2, 1, 3), pullback

    return apply


def patches(g: GraphBuilder, channels: int, grid: Grid) -> Operator:
    """Tokens of a grid to those of the grid with half its height and width, `[B, N', 4C]`.

    A last odd row or column is in no patch, as in a strided convolution, and gets gradient 0.
    """
    h, w = grid.h // 2, grid.w // 2

    def apply(x: str) -> tuple[str, Pullback]:
        if (grid.h, grid.w) != (2 * h, 2 * w):
            x = g.reshape(x, -1, grid.h, grid.w, channels)
            x = g.take(g.take(x, 1, 0, 2 * h), 2, 0, 2 * w)
        x = g.transpose(g.reshape(x, -1, 2, w, 2 * channels), 0, 2, 1, 3)
        y = g.reshape(x, -1, grid.t * h * w, 4 * channels)

        def pullback(dy: str) -> str:
            dx = g.transpose(g.reshape(dy, -1, w, 2, 2 * channels), 0, 2, 1, 3)
            if (grid.h, grid.w) != (2 * h, 2 * w):
                dx = g.reshape(dx, -1, 2 * h, 2 * w, channels)
                pads = [0, 0, 0, 0, 0, grid.h - 2 * h, grid.w - 2 * w, 0]
                dx = g.node("Pad", dx, g.constant(np.array(pads, np.int64)))
            return g.reshape(dx, -1, grid.tokens, channels)

        return y, pullback

    return apply
