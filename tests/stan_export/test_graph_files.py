"""The exported graphs as files: what they hold, and what runs them anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from stan_edge.errors import ConfigError
from stan_edge.model.bundle import graph_file
from stan_edge.model.contract import FORMS, METHODS
from stan_export.graphs import export_graphs

GRAPHS = tuple(graph_file(method, form) for form in FORMS for method in (None, *METHODS))


def test_a_graph_holds_nothing_that_its_outputs_do_not_need(tiny):
    """`staa-grad` pulls the gradient back to the last attention, and no further."""
    nodes = {method: len(onnx.load(tiny.folder / f"explain-{method}.onnx").graph.node) for method in METHODS}
    assert nodes["staa"] < nodes["staa-grad"] < nodes["staa"] + 80 < nodes["vanilla"]
    for path in tiny.folder.glob("*.onnx"):
        graph = onnx.load(path, load_external_data=False).graph
        used = {value for node in graph.node for value in node.input} | {output.name for output in graph.output}
        assert {initializer.name for initializer in graph.initializer} <= used
        assert all(used.intersection(node.output) for node in graph.node)


def test_graphs_are_portable(stan_t):
    for name in GRAPHS:
        model = onnx.load(stan_t.folder / name, load_external_data=False)
        assert model.ir_version <= 10
        assert [(entry.domain, 18 <= entry.version <= 20) for entry in model.opset_import] == [("", True)]
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions
        assert not [n for n in model.graph.node if n.op_type == "LayerNormalization" and len(n.output) > 1]
        for value in (*model.graph.input, *model.graph.output):
            first, *rest = value.type.tensor_type.shape.dim
            assert first.dim_param == "batch" or value.name == "noise", value.name
            assert all(dim.dim_value > 0 for dim in rest), value.name
        onnx.checker.check_model(stan_t.folder / name, full_check=True)


def test_inputs_and_outputs_are_the_documented_ones(stan_t):
    for name in GRAPHS:
        graph = onnx.load(stan_t.folder / name, load_external_data=False).graph
        described = {
            value.name: (
                onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
                tuple(dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim),
            )
            for value in (*graph.input, *graph.output)
        }
        expected = {"frames": (np.uint8, ("batch", 20, 112, 112, 3)), "logits": (np.float32, ("batch", 4))}
        copies = {"explain-smoothgrad": 2, "explain-streaming": 1}
        stem = name.split(".")[0]
        if stem != "forward":
            side = 7 if stem in ("explain-vanilla", *copies) else 3
            expected |= {"frame_scores": (np.float32, ("batch", 20)), "map": (np.float32, ("batch", 20, side, side))}
        if stem not in ("forward", "explain-staa"):
            expected["class_index"] = (np.int64, ("batch",))
        if stem in copies:
            expected["noise"] = (np.float32, (copies[stem], 20, 112, 112, 3))
        assert described == expected


def _external_entries(path: Path) -> dict[int, int]:
    """Offset to length of the tensors a graph keeps outside."""
    entries = {}
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        found = {entry.key: entry.value for entry in tensor.external_data}
        if found:
            assert found["location"] == "weights.bin"
            entries[int(found["offset"])] = int(found["length"])
    return entries


def test_weights_are_stored_once(stan_t):
    assert sorted(path.name for path in stan_t.folder.iterdir()) == sorted((*GRAPHS, "weights.bin"))
    assert sum(path.stat().st_size for path in stan_t.folder.iterdir()) < 16e6
    entries: dict[int, int] = {}
    for name in GRAPHS:
        entries |= _external_entries(stan_t.folder / name)
    assert all(offset % 4096 == 0 for offset in entries)
    content = (stan_t.folder / "weights.bin").read_bytes()
    tensors = [content[offset : offset + length] for offset, length in entries.items()]
    assert len(set(tensors)) == len(tensors)
    forward = sum(_external_entries(stan_t.folder / "forward.onnx").values())
    # kernels of convolutions are there for each form and direction, all else once
    assert sum(entries.values()) < 1.2 * forward


def test_export_is_repeatable(tiny, tmp_path):
    for path in export_graphs(tiny.model, tiny.input, tmp_path, samples=tiny.samples):
        assert path.read_bytes() == (tiny.folder / path.name).read_bytes()


@pytest.mark.parametrize(
    ("change", "counts", "message"),
    [
        ({"frames": 5}, {}, "frames is 5"),
        ({"size_px": 40}, {}, "size_px is 40"),
        ({}, {"samples": 0}, "samples is 0"),
    ],
)
def test_shapes_the_graphs_do_not_take_are_refused(tiny, tmp_path, change, counts, message):
    with pytest.raises(ConfigError, match=message):
        export_graphs(tiny.model, tiny.input.model_copy(update=change), tmp_path / "new", **counts)
    assert not (tmp_path / "new").exists()
