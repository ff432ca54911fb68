"""Convolutions of a token grid in the forms that engines are fast in: the same numbers, other shapes.

`volumes`: tokens as `[B, C, T', H', W']` and 3-D convolutions, which OpenVINO runs channels-last with no transpose left
(stan-t at 112, two cores, explain by `vanilla`).

`planes`: every token-frame a picture `[B * T', C, H', W']`, and a depthwise convolution the sum of 2-D ones of
neighbouring frames. ONNX Runtime has no kernel for depthwise 3-D convolutions (it spends 72 of 131 ms on them) and a
good one for 2-D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stan_export.builder import GraphBuilder
from stan_export.gradient import Grid, Operator, Pullback
from stan_export.inference_form import Array, Depthwise, Linear


class Convolutions(Protocol):
    """How tokens lie while they are convolved. `spread` and `gather` are each other's gradient."""

    def spread(self, channels: int, grid: Grid) -> Operator:
        """Tokens `[B, N, C]` to what the convolutions take."""
        ...

    def gather(self, channels: int, grid: Grid) -> Operator:
        """The way back."""
        ...

    def pointwise(self, layer: Linear, gain: float = 1.0) -> Operator:
        """`x @ weight + bias` over the channels."""
        ...

    def depthwise(self, layer: Depthwise, grid: Grid) -> Operator:
        """Its input gradient is one with the kernel flipped in t, h and w."""
        ...


@dataclass(frozen=True)
class Volumes:
    g: GraphBuilder

    def spread(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._spread(x, channels, grid), lambda dy: self._gather(dy, channels, grid))

    def gather(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._gather(x, channels, grid), lambda dy: self._spread(dy, channels, grid))

    def pointwise(self, layer: Linear, gain: float = 1.0) -> Operator:
        return lambda x: _pointwise(self.g, x, layer, 3, gain)

    def depthwise(self, layer: Depthwise, grid: Grid) -> Operator:
        def apply(x: str) -> tuple[str, Pullback]:
            flipped = layer.kernel[:, :, ::-1, ::-1, ::-1]
            return self._convolve(x, layer.kernel, layer.bias), lambda dy: self._convolve(dy, flipped)

        return apply

    def _spread(self, x: str, channels: int, grid: Grid) -> str:
        return self.g.transpose(self.g.reshape(x, -1, grid.t, grid.h, grid.w, channels), 0, 4, 1, 2, 3)

    def _gather(self, x: str, channels: int, grid: Grid) -> str:
        return self.g.reshape(self.g.transpose(x, 0, 2, 3, 4, 1), -1, grid.tokens, channels)

    def _convolve(self, x: str, kernel: Array, *bias: Array) -> str:
        channels, size = len(kernel), kernel.shape[-1]
        values = [self.g.constant(value) for value in (kernel, *bias)]
        pads = [size // 2] * 6
        return self.g.node("Conv", x, *values, kernel_shape=[size] * 3, pads=pads, group=channels)


@dataclass(frozen=True)
class Planes:
    g: GraphBuilder

    def spread(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._spread(x, channels, grid), lambda dy: self._gather(dy, channels, grid))

    def gather(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._gather(x, channels, grid), lambda dy: self._spread(dy, channels, grid))

    def pointwise(self, layer: Linear, gain: float = 1.0) -> Operator:
        return lambda x: _pointwise(self.g, x, layer, 2, gain)

    def depthwise(self, layer: Depthwise, grid: Grid) -> Operator:
        def apply(x: str) -> tuple[str, Pullback]:
            flipped = layer.kernel[:, :, ::-1, ::-1, ::-1]
            return self._convolve(x, layer.kernel, grid, layer.bias), lambda dy: self._convolve(dy, flipped, grid)

        return apply

    def _spread(self, x: str, channels: int, grid: Grid) -> str:
        return self.g.transpose(self.g.reshape(x, -1, grid.h, grid.w, channels), 0, 3, 1, 2)

    def _gather(self, x: str, channels: int, grid: Grid) -> str:
        return self.g.reshape(self.g.transpose(x, 0, 2, 3, 1), -1, grid.tokens, channels)

    def _convolve(self, x: str, kernel: Array, grid: Grid, *bias: Array) -> str:
        channels, size = len(kernel), kernel.shape[-1]
        reach = size // 2
        x = self.g.reshape(x, -1, grid.t, channels, grid.cells)
        x = self.g.node("Pad", x, self.g.constant(np.array([0, reach, 0, 0, 0, reach, 0, 0], np.int64)))
        total = ""
        for step in range(size):
            frames = self.g.reshape(self.g.take(x, 1, step, step + grid.t), -1, channels, grid.h, grid.w)
            values = [self.g.constant(value) for value in (kernel[:, :, step], *(bias if step == 0 else ()))]
            y = self.g.node("Conv", frames, *values, kernel_shape=[size] * 2, pads=[reach] * 4, group=channels)
            total = self.g.node("Add", y, total) if total else y
        return total


def _pointwise(g: GraphBuilder, x: str, layer: Linear, dimensions: int, gain: float) -> tuple[str, Pullback]:
    ones = [1] * dimensions

    def convolve(x: str, weight: Array, *bias: Array) -> str:
        values = [g.constant(value) for value in (weight.reshape(*weight.shape, *ones), *bias)]
        return g.node("Conv", x, *values, kernel_shape=ones)

    return convolve(x, layer.weight.T, layer.bias), lambda dy: convolve(dy, np.float32(gain) * layer.weight)
