"""Rewrites that let every engine run a traced graph, and run it right."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper


def make_portable(model: onnx.ModelProto) -> None:
    """Change a graph in place: one-output norms, square weights with transposes of their own, no notes."""
    graph = model.graph
    _one_output_norms(graph)
    _own_transposes(graph)
    _forget_notes(model)


def _one_output_norms(graph: onnx.GraphProto) -> None:
    """Compute mean and inverse deviation beside each LayerNormalization: TensorRT refuses one with three outputs."""
    nodes: list[onnx.NodeProto] = []
    used = {name for node in graph.node for name in node.input}
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "LayerNormalization" or not used.intersection(node.output[1:]):
            continue
        options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        mean, deviation = [*node.output[1:], "", ""][:2]
        del node.output[1:]
        nodes += _statistics(graph, node, mean, deviation, options.get("axis", -1), options.get("epsilon", 1e-5))
    del graph.node[:]
    graph.node.extend(nodes)


def _statistics(
    graph: onnx.GraphProto, norm: onnx.NodeProto, mean: str, deviation: str, axis: int, epsilon: float
) -> Iterable[onnx.NodeProto]:
    """Nodes that give `mean` and `deviation` (1 / sqrt(var + epsilon)) of a norm's input over its last `-axis` axes."""
    prefix, x = f"{norm.output[0]}_statistics", norm.input[0]
    mean, deviation = mean or f"{prefix}_mean", deviation or f"{prefix}_deviation"
    axes, eps = f"{prefix}_axes", f"{prefix}_epsilon"
    graph.initializer.extend(
        (
            numpy_helper.from_array(np.arange(axis, 0, dtype=np.int64), axes),
            numpy_helper.from_array(np.array(epsilon, np.float32), eps),
        )
    )
    centred, squared, variance, shifted, root = (
        f"{prefix}_{name}" for name in ("centred", "squared", "variance", "shifted", "root")
    )
    return (
        helper.make_node("ReduceMean", [x, axes], [mean], keepdims=1),
        helper.make_node("Sub", [x, mean], [centred]),
        helper.make_node("Mul", [centred, centred], [squared]),
        helper.make_node("ReduceMean", [squared, axes], [variance], keepdims=1),
        helper.make_node("Add", [variance, eps], [shifted]),
        helper.make_node("Sqrt", [shifted], [root]),
        helper.make_node("Reciprocal", [root], [deviation]),
    )


def _own_transposes(graph: onnx.GraphProto) -> None:
    """Store the transpose of a square weight instead of computing it: OpenVINO's CPU plugin takes a square weight that
    two products share for its own transpose; see `stan_export.gradient.transposed`."""
    squares = {
        tensor.name: tensor
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and tensor.dims[0] == tensor.dims[1]
    }
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in squares:
            flipped = _transpose(squares[node.input[0]], node.output[0])
            graph.initializer.append(flipped)
            continue
        if node.op_type == "Gemm" and node.input[1] in squares:
            for attribute in node.attribute:
                if attribute.name == "transB" and attribute.i:
                    attribute.i = 0
                    flipped = _transpose(squares[node.input[1]], f"{node.input[1]}_transposed_{len(kept)}")
                    graph.initializer.append(flipped)
                    node.input[1] = flipped.name
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    needed = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(needed)


def _transpose(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(tensor).T), name)


def _forget_notes(model: onnx.ModelProto) -> None:
    """Drop source lines and paths that the tracer wrote beside every node."""
    model.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for item in (*model.graph.node, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
