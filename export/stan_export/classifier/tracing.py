"""A function of tensors, gradients inside, as an ONNX graph of standard operators.

The function is run once under `make_fx`, which writes down the backward pass like any other computation;
`torch.export` of a function that differentiates and the TorchScript exporter fail, or bake the gradient in as a
constant (torch 2.13).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, decomposition_table
from torch.fx.experimental.proxy_tensor import make_fx

from stan_edge.errors import ConfigError
from stan_export.builder import IR_VERSION, OPSET
from stan_export.classifier.portable import make_portable

aten = torch.ops.aten


def traced(
    function: Callable[..., tuple[Tensor, ...]], inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The graph of `function`, called with examples of its inputs in this order; shapes are static.

    Raises:
        ConfigError: PyTorch cannot trace the function, or has no ONNX for one of its operators.
    """
    examples = tuple(inputs.values())
    # the core ones leave some derivatives whole, which ONNX has no operators for
    backward = {op: rule for op, rule in decomposition_table.items() if "backward" in str(op)}
    decompositions = core_aten_decompositions() | backward | OURS
    # it names every optional package that is not installed
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.export's own pytrees
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            program = torch.export.export(make_fx(function, decompositions)(*examples), examples)
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
        except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
            raise ConfigError(
                f"PyTorch cannot write this network as a graph ({_cause(error)}); replace the operator it names, or "
                "leave out the method that needs it."
            ) from error
    if exported is None:
        raise ConfigError("PyTorch wrote no graph and said nothing; try another version of torch.")
    model = exported.model_proto
    model.ir_version = IR_VERSION
    make_portable(model)
    return model


def _cause(error: BaseException) -> str:
    """The first line of what went wrong first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().split("\n")[0]


def _convolution_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    _bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    _output_padding: Any,
    groups: int,
    _wanted: Any,
) -> tuple[Tensor, None, None]:
    """The input gradient, the one that PyTorch does not decompose; those of the weights are never asked for.

    A weight with as many channels in as out must not be shared by a convolution and a transposed one: OpenVINO's CPU
    plugin (2026.4) takes the one's layout for the other's, and the gradient is off by more than its size. So the
    backward pass has twice the weight, and half the gradient: exact, and other bytes.
    """
    if weight.shape[0] == weight.shape[1]:
        dy, weight = dy * 0.5, weight * 2
    if transposed:
        none = [0] * len(stride)
        return aten.convolution(dy, weight, None, stride, padding, dilation, False, none, groups), None, None
    return _spread(dy, x, weight, stride, padding, dilation, groups), None, None


def _spread(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Transposed convolution back to the shape of `x`. A strided one forgets how long that was: `output_padding`."""
    output_padding = [
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(x.shape[2:], dy.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True)
    ]
    return aten.convolution(dy, weight, None, stride, padding, dilation, True, output_padding, groups)


def _average_pool_backward(
    dy: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Each window's gradient goes to its cells in equal parts."""
    if ceil_mode or (any(padding) and not count_include_pad):
        raise RuntimeError("average pooling with windows of unequal size has no graph here")
    weight = x.new_full((x.shape[1], 1, *kernel), 1 / (divisor or math.prod(kernel)))
    return _spread(dy, x, weight, stride or kernel, padding, [1] * len(kernel), x.shape[1])


def _max_pool_backward(
    dy: Tensor,
    x: Tensor,
    _kernel: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    _ceil_mode: Any,
    indices: Tensor,
) -> Tensor:
    """Each window's gradient goes to where its maximum was; `indices` count the cells of a channel."""
    dx = torch.zeros_like(x).flatten(2)
    return dx.scatter_add(2, indices.flatten(2), dy.flatten(2)).view(x.shape)


OURS: dict[Any, Callable[..., Any]] = {
    aten.convolution_backward.default: _convolution_backward,
    aten.avg_pool2d_backward.default: _average_pool_backward,
    aten.avg_pool3d_backward.default: _average_pool_backward,
    aten.max_pool2d_with_indices_backward.default: _max_pool_backward,
    aten.max_pool3d_with_indices_backward.default: _max_pool_backward,
}
"""What PyTorch does not decompose. TensorRT reads no max pooling with indices; such networks run on other engines."""
