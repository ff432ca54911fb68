"""A float32 graph rewritten to compute in bfloat16 or float16, for engines that take every type from the graph.

Matrix products and convolutions read and write half precision, and with them the elementwise operators between. What
adds many terms up or divides by a small one stays in float32: norms and their statistics, softmax, reductions, pooling,
the head that makes the logits, and all inputs and outputs. An operator that meets both computes in float32, so that
nothing is rounded twice. Needs onnx and NumPy only: PyTorch is not on a Jetson.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stan_edge.backends.base import HalfPrecision

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose"})
ELEMENTWISE = frozenset(
    {"Abs", "Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min"}
    | {"Mul", "Neg", "Relu", "Sigmoid", "Sqrt", "Sub", "Tanh", "Where"}
)
MOVES = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split"}
    | {"Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
LOGITS = "logits"
TYPES = {"bf16": TensorProto.BFLOAT16, "f16": TensorProto.FLOAT16}
BF16_OPSET = 22
"""The first in which convolutions and poolings take bfloat16; nothing else in it changes these graphs."""


def to_half(model: onnx.ModelProto, precision: HalfPrecision) -> onnx.ModelProto:
    """The same graph, with the same inputs and outputs, computing in half precision; `model` is left as it is."""
    half = onnx.ModelProto()
    half.CopyFrom(model)
    _Rewrite(half, precision).run()
    if precision == "bf16":
        for entry in half.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = max(entry.version, BF16_OPSET)
    return half


class _Rewrite:
    """Every value keeps its name in float32; beside it, or instead of it, there may be `<name>_half`."""

    def __init__(self, model: onnx.ModelProto, precision: HalfPrecision) -> None:
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._graph = model.graph
        self._type = TYPES[precision]
        self._initializers = {tensor.name: tensor for tensor in self._graph.initializer}
        entries = [*inferred.value_info, *inferred.input, *inferred.output]
        self._floats = {entry.name for entry in entries if entry.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._floats |= {name for name, value in self._initializers.items() if value.data_type == TensorProto.FLOAT}
        self._constant = {name for name, value in self._initializers.items() if self._fits(value)}
        """Values that take the type of what they meet: weights, and what is made of them alone."""
        self._halves: set[str] = set()
        """Values computed in half precision."""
        self._there = self._floats - {name for node in self._graph.node for name in node.output}
        """Names that exist by now."""
        self._head = _head(self._graph)
        self._nodes: list[onnx.NodeProto] = []
        self._makers: dict[str, onnx.NodeProto] = {}
        """Of constants that are made from others: a transposed weight, and half of it."""

    def run(self) -> None:
        for node in list(self._graph.node):
            self._append(node)
        for output in self._graph.output:
            self._as_float(output.name)
        used = {output.name for output in self._graph.output}
        nodes = []
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        kept = [tensor for name, tensor in self._initializers.items() if name in used]
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(reversed(nodes))
        self._graph.initializer.extend(kept)

    def _append(self, node: onnx.NodeProto) -> None:
        floats = [name for name in node.input if name in self._floats]
        results = [name for name in node.output if name in self._floats]
        in_half = self._computes_in_half(node, floats)
        for place, name in enumerate(node.input):
            if name in self._floats:
                node.input[place] = self._as_half(name) if in_half else self._as_float(name)
        if in_half:
            node.output[:] = [_half(name) if name in results else name for name in node.output]
            self._halves.update(results)
        elif node.op_type == "Constant" or (
            floats and self._constant.issuperset(floats) and node.op_type in ELEMENTWISE | MOVES
        ):
            self._constant.update(results)
            # nothing is rounded twice: the weights that our graphs multiply are multiplied by powers of two
            self._makers.update({name: node for name in results if node.op_type in MOVES | {"Mul"}})
        self._there.update(node.output)
        self._nodes.append(node)

    def _computes_in_half(self, node: onnx.NodeProto, floats: list[str]) -> bool:
        if self._head.intersection(node.output):
            return False
        if node.op_type in PRODUCTS:
            return True
        if node.op_type not in ELEMENTWISE | MOVES:
            return False
        varying = [name for name in floats if name not in self._constant]
        return bool(varying) and self._halves.issuperset(varying)

    def _as_half(self, name: str) -> str:
        half = _half(name)
        if half not in self._there:
            if name in self._initializers:
                self._initializers[half] = self._rounded(self._initializers[name], half)
            elif name in self._makers:
                self._again_in_half(self._makers[name])
            else:
                self._nodes.append(helper.make_node("Cast", [name], [half], name=f"{half}_cast", to=self._type))
            self._there.add(half)
        return half

    def _again_in_half(self, node: onnx.NodeProto) -> None:
        """From constants that are rounded already, so that no float32 ones need be kept."""
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.name = _half(node.name)
        again.input[:] = [self._as_half(name) if name in self._constant else name for name in node.input]
        again.output[:] = [_half(name) for name in node.output]
        self._nodes.append(again)
        self._there.update(again.output)

    def _as_float(self, name: str) -> str:
        if name not in self._there:
            cast = helper.make_node("Cast", [_half(name)], [name], name=f"{name}_cast", to=TensorProto.FLOAT)
            self._nodes.append(cast)
            self._there.add(name)
        return name

    def _fits(self, tensor: TensorProto) -> bool:
        if tensor.data_type != TensorProto.FLOAT:
            return False
        limit = np.finfo(np.float16).max if self._type == TensorProto.FLOAT16 else np.inf
        return bool((np.abs(numpy_helper.to_array(tensor)) <= limit).all())

    def _rounded(self, tensor: TensorProto, name: str) -> TensorProto:
        values = numpy_helper.to_array(tensor)
        numbers = values.astype(np.float16) if self._type == TensorProto.FLOAT16 else _to_bf16(values)
        return TensorProto(name=name, dims=tensor.dims, data_type=self._type, raw_data=numbers.tobytes())


def _to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of the bits, rounded to the nearest, ties to even; NumPy has no such type."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _head(graph: onnx.GraphProto) -> set[str]:
    """What is made from the last product before the logits on, that included."""
    makers = {name: node for node in graph.node for name in node.output}

    def upwards(value: str) -> Iterator[str]:
        node = makers.get(value)
        if node is None:
            return
        yield value
        if node.op_type not in PRODUCTS:
            for name in node.input:
                yield from upwards(name)

    return set(upwards(LOGITS))


def _half(name: str) -> str:
    return f"{name}_half"
