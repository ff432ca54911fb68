"""TensorRT takes every graph: checked on any x86-64 Linux, no GPU needed."""

from __future__ import annotations

import sys

import pytest

from stan_edge.errors import BackendError, BackendUnavailableError
from stan_edge.model.contract import METHODS
from stan_export.builder import GraphBuilder
from tests.stan_export.conftest import build_with_tensorrt_rtx

QUICK = ("forward", "streaming", "staa-grad")
"""Graphs that together hold every kind of node; the others are built with `-m slow`."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "forward" if method is None else f"explain-{method}",
            marks=() if (method or "forward") in QUICK else pytest.mark.slow,
        )
        for method in (None, *METHODS)
    ],
)
def test_every_graph_builds(name, stan_t):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    size = build_with_tensorrt_rtx(stan_t.folder / f"{name}.onnx")
    assert size.layers > 100
    assert size.plan_bytes > 10e6  # it holds the weights


def test_a_refused_node_is_named(tmp_path):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    g = GraphBuilder()
    y = g.node("Cast", g.reshape("x", 4), to=1)  # uint8 may only meet a Cast
    path = tmp_path / "reshape-of-uint8.onnx"
    path.write_bytes(g.model("bad", {"x": (2, (2, 2))}, {"y": (y, (4,))}).SerializeToString())
    with pytest.raises(BackendError, match="Reshape_0") as caught:
        build_with_tensorrt_rtx(path)
    assert "\n" not in str(caught.value)
    assert "CUDA" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    with pytest.raises(BackendError, match=r"gone\.onnx"):
        build_with_tensorrt_rtx(tmp_path / "gone.onnx")


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendUnavailableError, match=r"stan-edge\[tensorrt-rtx\]"):
        build_with_tensorrt_rtx(tmp_path / "any.onnx")
