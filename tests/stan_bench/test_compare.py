from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stan_bench.compare import Comparison, compare
from stan_bench.pure import placement
from stan_bench.sections import of_comparison, placement_text
from stan_edge.backends.base import Backend, Placing
from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.model.bundle import PARITY, Bundle, methods_of, open_bundle, write_digests

ROUNDS = 3


@pytest.fixture(scope="module")
def comparison(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Of a bundle whose recording of `vanilla` is another one's."""
    folder: Path = tmp_path_factory.mktemp("compared")
    for path in tiny_bundle.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with np.load(folder / PARITY) as recorded:
        arrays = dict(recorded)
    np.savez_compressed(folder / PARITY, **(arrays | {"map_vanilla": 2 * arrays["map_vanilla"]}))
    write_digests(folder)
    bundle = open_bundle(folder)
    return compare(bundle, methods_of(bundle), precisions=("f32", "bf16"), threads=1, rounds=ROUNDS)


def test_every_combination_is_shown(comparison: Comparison, tiny_bundle: Bundle) -> None:
    shown = {(row.backend, row.precision, row.method) for row in comparison.rows}
    methods = methods_of(tiny_bundle)
    assert {(name, "f32", method) for name in BACKENDS for method in methods} <= shown
    assert len(shown) == len(comparison.rows)
    assert any("onnxruntime computes in f32" in sentence for sentence in comparison.missing)


def test_what_passes_is_timed_and_what_is_refused_is_not(comparison: Comparison) -> None:
    for row in comparison.rows:
        assert row.parity is not None
        assert (row.refusal is None) == row.parity.passed
        expected = ROUNDS if row.parity.passed else 0
        assert (len(row.forward_ms), len(row.explain_ms)) == (expected, expected)
        assert (row.ratio is None) == (not row.parity.passed)
    refused = {(row.backend, row.method) for row in comparison.rows if row.refusal and row.precision == "f32"}
    assert refused == {(name, "vanilla") for name in BACKENDS}


def test_a_refusal_says_by_how_much_it_is_off(comparison: Comparison) -> None:
    row = next(row for row in comparison.rows if row.method == "vanilla" and row.precision == "f32")
    assert row.refusal == "maps off by 5.0e-01, allowed 1e-04"
    section = of_comparison(comparison)
    assert any(f"REFUSED: {row.backend} f32 vanilla, {row.refusal}" in note for note in section.notes)
    cells = next(cells for cells in section.tables[0].rows if cells[:2] == (f"{row.backend}\nf32", "vanilla"))
    assert cells[5:] == ("REFUSED", "-", "-")


def test_it_is_json_with_raw_values(comparison: Comparison) -> None:
    kept = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert kept["mode"] == "compare"
    for row, shown in zip(kept["rows"], comparison.rows, strict=True):
        assert (row["forward_ms"], row["explain_ms"]) == (shown.forward_ms, shown.explain_ms)
        assert row["parity"]["passed"] == (row["refusal"] is None)
        assert row["explain_median_ms"] == shown.explain_median_ms


@pytest.mark.slow
def test_an_engine_says_where_its_nodes_run(tiny_bundle: Bundle, any_backend: Backend) -> None:
    assert isinstance(any_backend, Placing)
    for method in methods_of(tiny_bundle):
        found = placement(tiny_bundle, any_backend, method)
        assert found is not None
        provider = {"openvino": "CPU", "onnxruntime": "CPUExecutionProvider"}[any_backend.name]
        assert list(found.providers) == [provider]
        assert found.providers[provider] == sum(found.kernels.values()) > 10
        assert list(found.kernels.values()) == sorted(found.kernels.values(), reverse=True)
        if any_backend.name == "openvino":
            kernels = [name for name in found.kernels if not name.startswith(("unknown", "reorder"))]
            assert any(name.endswith(f"_{any_backend.precision}") for name in kernels)


def test_one_that_does_not_say_is_said_to_be_silent(tiny_bundle: Bundle) -> None:
    class Silent:
        name, version, precision, device, fallback = "silent", "1", "f32", "CPU", False

        def load(self, path: Path) -> Any:
            return open_backend("onnxruntime").load(path)

    found = placement(tiny_bundle, Silent(), "vanilla")  # type: ignore[arg-type]
    assert found is None
    assert placement_text(found).startswith("not readable")


def test_combinations_can_be_chosen(tiny_bundle: Bundle) -> None:
    found = compare(tiny_bundle, ("gradcam",), backends=("onnxruntime",), precisions=("f32",), rounds=1)
    assert [(row.backend, row.precision, row.method) for row in found.rows] == [("onnxruntime", "f32", "gradcam")]
    assert found.missing == ()
    conditions: Mapping[str, str] = found.conditions
    assert conditions["mode"] == "compare"
