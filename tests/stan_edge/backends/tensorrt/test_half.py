"""Graphs rewritten for bf16 and f16, run here on the processor with every half-precision value rounded as on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from stan_edge.backends.base import Backend, Precision
from stan_edge.backends.tensorrt.half import PRODUCTS, TYPES, to_half
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.model.contract import METHODS, Method
from stan_edge.parity import ParityRow, replay
from stan_edge.pipeline.predictor import Explainer
from stan_export.builder import GraphBuilder

IN_FLOAT = {"LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "AveragePool"}


class Rounding:
    """Runs what `to_half` makes of a graph: each operator in float32, each value rounded to the type that it has.

    So do tensor cores. ONNX Runtime has no half-precision kernels on the processor, so casts are put around each node.
    """

    name, version, device, fallback = "rounding", ort.__version__, "CPU", False

    def __init__(self, precision: Precision) -> None:
        self.precision = precision

    def load(self, path: Path) -> Rounded:
        return Rounded(with_casts(to_half(onnx.load(path), self.precision)))


class Rounded:
    def __init__(self, model: onnx.ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # it would drop pairs of casts
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        values = self._session.run(self._outputs, {name: feeds[name] for name in self.inputs})
        return dict(zip(self._outputs, values, strict=True))


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    entries = [*graph.value_info, *graph.input, *graph.output]
    types = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def with_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    types, nodes, wide = types_of(model), [], set()
    halves = set(TYPES.values())
    for node in model.graph.node:
        if node.op_type != "Cast":
            for place, name in enumerate(node.input):
                if types.get(name) in halves:
                    if name not in wide:
                        wide.add(name)
                        nodes.append(helper.make_node("Cast", [name], [f"{name}_wide"], to=TensorProto.FLOAT))
                    node.input[place] = f"{name}_wide"
        nodes.append(node)
        if node.op_type != "Cast":
            for place, name in enumerate(node.output):
                if types.get(name) in halves:
                    node.output[place] = f"{name}_exact"
                    nodes.append(helper.make_node("Cast", [f"{name}_exact"], [name], to=types[name]))
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    return model


def errors(bundle: Bundle, precision: Precision, method: Method) -> ParityRow:
    backend: Backend = Rounding(precision)
    return replay(bundle, backend, Explainer(bundle, backend, method))


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return open_bundle(shipped_bundle())


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=pytest.mark.slow) if m == "smoothgrad" else m for m in METHODS]
)
def test_in_f16_every_method_of_the_shipped_model_is_close_to_float64(shipped: Bundle, method: Method) -> None:
    """Half of the 2 % that are allowed; the maps of staa-grad are the worst, 0.8 %, frame scores 0.3 %."""
    row = errors(shipped, "f16", method)
    assert row.passed
    assert max(row.logits_error, row.scores_error, row.map_error) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(("method", "passes"), [("gradcam", True), ("vanilla", False)])
def test_in_bf16_only_what_needs_no_gradient_is_sure_to_pass(shipped: Bundle, method: Method, passes: bool) -> None:
    """Eight bits are too few for the maps of gradients: 2.5 to 4.6 % off; labels are right, 0.4 %."""
    row = errors(shipped, "bf16", method)
    assert row.passed is passes
    assert row.logits_error < 1e-2


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_the_small_model_keeps_its_meaning(tiny_bundle: Bundle, precision: Precision, method: Method) -> None:
    row = errors(tiny_bundle, precision, method)
    bound = {"f16": 1e-2, "bf16": 8e-2}[precision]
    assert max(row.logits_error, row.scores_error, row.map_error) < bound


@pytest.mark.parametrize("method", ["vanilla", "staa-grad"])
def test_no_product_overflows_or_vanishes_in_f16(shipped: Bundle, method: Method) -> None:
    """The largest is 130 of 65504; as gradients are seeded with 2^10, only 0.1 % are subnormal."""
    model = to_half(onnx.load(shipped.explain(method)), "f16")
    products = [name for node in model.graph.node if node.op_type in PRODUCTS for name in node.output]
    types = types_of(model)
    watched = [name for name in products if types[name] == TensorProto.FLOAT16]
    assert len(watched) > 80
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in watched)
    backend = _Fed(Rounded(with_casts(model)))
    with np.load(shipped.parity) as recorded:
        Explainer(shipped, backend, method)(recorded["frames"][-1])
    values = np.concatenate([np.abs(backend.out[name]).ravel().astype(np.float32) for name in watched])
    assert np.isfinite(values).all()
    assert values.max() < np.finfo(np.float16).max / 100
    subnormal = (values > 0) & (values < np.finfo(np.float16).smallest_normal)
    assert subnormal.mean() < 0.005


class _Fed:
    """Keeps everything that a graph gave."""

    name, version, precision, device, fallback = "fed", "", "f16", "CPU", False

    def __init__(self, graph: Rounded) -> None:
        self._graph = graph
        self.inputs = graph.inputs
        self.out: dict[str, np.ndarray] = {}

    def load(self, _path: Path) -> _Fed:
        return self

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
        self.out = self._graph(feeds)
        return self.out


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("name", ["forward", *(f"explain-{method}" for method in METHODS)])
def test_products_are_in_half_and_sums_in_float(tiny_bundle: Bundle, precision: Precision, name: str) -> None:
    before = onnx.load(tiny_bundle.folder / f"{name}.onnx")
    after = to_half(before, precision)
    onnx.checker.check_model(after, full_check=True)
    types = types_of(after)
    products = [node for node in after.graph.node if node.op_type in PRODUCTS]
    in_half = [node for node in products if {types[value] for value in node.input} == {TYPES[precision]}]
    assert len(products) - len(in_half) == 1  # the head
    for node in after.graph.node:
        if node.op_type in IN_FLOAT:
            assert {types[value] for value in node.output} == {TensorProto.FLOAT}, node.name
    for ours, theirs in ((after.graph.input, before.graph.input), (after.graph.output, before.graph.output)):
        assert [entry.SerializeToString() for entry in ours] == [entry.SerializeToString() for entry in theirs]
    assert _bytes_of_weights(after) < 0.6 * _bytes_of_weights(before)


def _bytes_of_weights(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer if tensor.data_type != TensorProto.INT64)


def test_the_graph_that_was_given_is_left_as_it_is(tiny_bundle: Bundle) -> None:
    model = onnx.load(tiny_bundle.forward())
    before = model.SerializeToString()
    to_half(model, "f16")
    assert model.SerializeToString() == before


def test_bf16_weights_are_rounded_as_pytorch_rounds_them() -> None:
    values = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    g = GraphBuilder()
    y = g.node("MatMul", "x", g.constant(values))
    model = to_half(g.model("one", {"x": (1, (2, 64))}, {"y": (y, (2, 64))}), "bf16")
    (weight,) = model.graph.initializer
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    assert np.array_equal(numpy_helper.to_array(weight).astype(np.float32), expected)


def test_a_constant_that_f16_cannot_hold_keeps_its_sum_in_float() -> None:
    """A mask of -1e9 before a softmax would be minus infinity, and NaN where everything is masked."""
    g = GraphBuilder()
    product = g.node("MatMul", "x", g.constant(np.eye(4, dtype=np.float32)))
    y = g.node("Add", product, g.constant(np.float32(-1e9)))
    model = to_half(g.model("mask", {"x": (1, (2, 4))}, {"y": (y, (2, 4))}), "f16")
    (out,) = Rounded(with_casts(model))({"x": np.ones((2, 4), np.float32)}).values()
    assert np.array_equal(out, np.full((2, 4), np.float32(1 - 1e9)))
