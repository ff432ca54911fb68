"""Writes an ONNX graph node by node; every value is known by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
"""The first with a native Gelu; TensorRT 10.13, ONNX Runtime 1.17 and OpenVINO 2025 read it."""
IR_VERSION = 10
"""onnx writes a newer one by default, which ONNX Runtime 1.23 (the last for Python 3.10) refuses."""


class GraphBuilder:
    """Collects nodes and initializers; equal constants are stored once."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def constant(self, value: npt.ArrayLike) -> str:
        """Name of an initializer holding `value`."""
        array = np.asarray(value, order="C")
        key = (array.dtype.str, array.shape, sha256(array.tobytes()).digest())
        if key not in self._names:
            self._names[key] = name = f"constant_{len(self._names)}"
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._names[key]

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; return the output's name."""
        return self.nodes(op, 1, *inputs, **attributes)[0]

    def nodes(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with several outputs; return their names."""
        prefix = f"{op}_{len(self._nodes)}"
        names = [prefix] if outputs == 1 else [f"{prefix}_{k}" for k in range(outputs)]
        self._nodes.append(helper.make_node(op, list(inputs), names, name=prefix, **attributes))
        return names

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *order: int) -> str:
        return self.node("Transpose", x, perm=order)

    def take(self, x: str, axis: int, start: int, stop: int) -> str:
        """`x[start:stop]` along one axis."""
        ends = (self.constant(np.array([value], np.int64)) for value in (start, stop, axis))
        return self.node("Slice", x, *ends)

    def reduce(self, op: str, x: str, *axes: int, keepdims: bool = False) -> str:
        return self.node(op, x, self.constant(np.array(axes, np.int64)), keepdims=int(keepdims))

    def scalar(self, value: float) -> str:
        return self.constant(np.float32(value))

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[int | str]]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> onnx.ModelProto:
        """The finished model, without nodes that no output needs.

        `inputs` maps a name to element type and shape, `outputs` a name to the float32 value and its shape.
        """
        self._rename({value: output for output, (value, _) in outputs.items()})
        nodes, used = self._needed(set(outputs))
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, (_, shape) in outputs.items()],
            [initializer for initializer in self._initializers if initializer.name in used],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="stan-edge",
        )

    def _needed(self, values: set[str]) -> tuple[list[onnx.NodeProto], set[str]]:
        """The nodes that these values come from, in order, and all values they use."""
        nodes, used = [], set(values)
        for node in reversed(self._nodes):
            if used.intersection(node.output):
                nodes.append(node)
                used.update(node.input)
        return nodes[::-1], used

    def _rename(self, names: Mapping[str, str]) -> None:
        """Give values the names of outputs. An Identity node would do, but OpenVINO then reports the inner
        name of the tensor as the output's."""
        for node in self._nodes:
            node.input[:] = [names.get(value, value) for value in node.input]
            node.output[:] = [names.get(value, value) for value in node.output]
