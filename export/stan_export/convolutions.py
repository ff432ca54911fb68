"""Convolutions of a token grid in the forms that engines are fast in: the same numbers, other shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from stan_export.builder import GraphBuilder
from stan_export.gradient import Grid, Operator, Pullback
from stan_export.inference_form import Array, Depthwise, Linear


class Convolutions(ABC):
    """Operators on tokens that lie as an engine's convolutions take them; `spread` brings them there, `gather` back."""

    dimensions: int
    """Of a kernel."""

    def __init__(self, g: GraphBuilder) -> None:
        self._g = g

    def spread(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._spread(x, channels, grid), lambda dy: self._gather(dy, channels, grid))

    def gather(self, channels: int, grid: Grid) -> Operator:
        return lambda x: (self._gather(x, channels, grid), lambda dy: self._spread(dy, channels, grid))

    def pointwise(self, layer: Linear, gain: float = 1.0) -> Operator:
        """`x @ weight + bias` over the channels.

        Args:
            gain: the gradient comes out times this.
        """
        ones = [1] * self.dimensions

        def convolve(x: str, weight: Array, *bias: Array) -> str:
            values = [self._g.constant(value) for value in (weight.reshape(*weight.shape, *ones), *bias)]
            return self._g.node("Conv", x, *values, kernel_shape=ones)

        def apply(x: str) -> tuple[str, Pullback]:
            return convolve(x, layer.weight.T, layer.bias), lambda dy: convolve(dy, np.float32(gain) * layer.weight)

        return apply

    def depthwise(self, layer: Depthwise, grid: Grid) -> Operator:
        """Zero-padded depthwise convolution; its input gradient is one with the kernel flipped in t, h and w."""

        def apply(x: str) -> tuple[str, Pullback]:
            flipped = layer.kernel[:, :, ::-1, ::-1, ::-1]
            return self._depthwise(x, grid, layer.kernel, layer.bias), lambda dy: self._depthwise(dy, grid, flipped)

        return apply

    @abstractmethod
    def _spread(self, x: str, channels: int, grid: Grid) -> str: ...

    @abstractmethod
    def _gather(self, x: str, channels: int, grid: Grid) -> str: ...

    @abstractmethod
    def _depthwise(self, x: str, grid: Grid, kernel: Array, *bias: Array) -> str: ...


class Volumes(Convolutions):
    """`[B, C, T', H', W']`: the standard form.

    OpenVINO runs it channels-last and drops every transpose, if it stands on five axes right beside a convolution; a
    whole stage of convolutions instead of matrix products saves 5 % of the explanation.
    """

    dimensions = 3

    def _spread(self, x: str, channels: int, grid: Grid) -> str:
        return self._g.transpose(self._g.reshape(x, -1, grid.t, grid.h, grid.w, channels), 0, 4, 1, 2, 3)

    def _gather(self, x: str, channels: int, grid: Grid) -> str:
        return self._g.reshape(self._g.transpose(x, 0, 2, 3, 4, 1), -1, grid.tokens, channels)

    def _depthwise(self, x: str, grid: Grid, kernel: Array, *bias: Array) -> str:
        channels, size = len(kernel), kernel.shape[-1]
        values = [self._g.constant(value) for value in (kernel, *bias)]
        return self._g.node("Conv", x, *values, kernel_shape=[size] * 3, pads=[size // 2] * 6, group=channels)


class Planes(Convolutions):
    """`[B * T', C, H', W']`, a depthwise convolution being the sum of 2-D ones of neighbouring frames.

    ONNX Runtime has a fast kernel for those and none for depthwise 3-D convolutions: stan-t at 112, two cores, takes
    22 ms instead of 51 for the forward pass and 50 instead of 113 to explain by `vanilla`.
    """

    dimensions = 2

    def _spread(self, x: str, channels: int, grid: Grid) -> str:
        return self._g.transpose(self._g.reshape(x, -1, grid.h, grid.w, channels), 0, 3, 1, 2)

    def _gather(self, x: str, channels: int, grid: Grid) -> str:
        return self._g.reshape(self._g.transpose(x, 0, 2, 3, 1), -1, grid.tokens, channels)

    def _depthwise(self, x: str, grid: Grid, kernel: Array, *bias: Array) -> str:
        channels, size = len(kernel), kernel.shape[-1]
        reach = size // 2
        frames = self._g.reshape(x, -1, grid.t, channels, grid.cells)
        frames = self._g.node("Pad", frames, self._g.constant(np.array([0, reach, 0, 0, 0, reach, 0, 0], np.int64)))
        total = ""
        for step in range(size):
            shifted = self._g.reshape(self._g.take(frames, 1, step, step + grid.t), -1, channels, grid.h, grid.w)
            values = [self._g.constant(value) for value in (kernel[:, :, step], *bias)]
            y = self._g.node("Conv", shifted, *values, kernel_shape=[size] * 2, pads=[reach] * 4, group=channels)
            total = self._g.node("Add", y, total) if total else y
            bias = ()
        return total
