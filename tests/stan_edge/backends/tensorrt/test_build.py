"""Real builds by TensorRT for RTX, which needs no GPU for them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from stan_edge.backends.base import Precision
from stan_edge.backends.tensorrt.build import MOST_WINDOWS, build_engine
from stan_edge.backends.tensorrt.cache import AHEAD_OF_TIME
from stan_edge.backends.tensorrt.library import Choice, choose
from stan_edge.errors import BackendUnavailableError
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import METHODS, Method
from stan_export.builder import GraphBuilder
from stan_export.engines import build_engines

trt = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)


class Watched:
    """The library, keeping the profiles and configurations that it makes."""

    def __init__(self) -> None:
        self.configs: list[Any] = []
        self.profiles: list[Any] = []
        watched = self

        class Builder(trt.Builder):
            def create_builder_config(self) -> Any:
                watched.configs.append(super().create_builder_config())
                return watched.configs[-1]

            def create_optimization_profile(self) -> Any:
                watched.profiles.append(super().create_optimization_profile())
                return watched.profiles[-1]

        self.module = SimpleNamespace(**{name: getattr(trt, name) for name in dir(trt)} | {"Builder": Builder})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A graph whose batch is open."""
    g = GraphBuilder()
    y = g.node("Mul", g.node("Softmax", "x", axis=-1), "c")
    onnx.save(g.model("rows", {"x": (1, ("rows", 4)), "c": (1, (1, 4))}, {"y": (y, ("rows", 4))}), tmp_path / "r.onnx")
    return tmp_path / "r.onnx"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "precision"), [*((method, "f16") for method in METHODS if method != "streaming"), ("vanilla", "bf16")]
)
def test_graphs_build_in_half_precision(tiny_bundle: Bundle, method: Method, precision: Precision) -> None:
    engine = build_engine(trt, tiny_bundle.explain(method), precision)
    assert engine.layers > 100
    assert len(engine.plan) > 10_000


def test_f32_means_f32(tiny_bundle: Bundle) -> None:
    """TF32, on by default, rounds factors to ten bits: a thousandth off, where 1e-4 are allowed."""
    watched = Watched()
    build_engine(watched.module, tiny_bundle.forward())
    (config,) = watched.configs
    assert trt.Builder(trt.Logger()).create_builder_config().get_flag(trt.BuilderFlag.TF32)
    assert not config.get_flag(trt.BuilderFlag.TF32)


def test_an_open_batch_takes_one_window_to_eight(rows: Path) -> None:
    watched = Watched()
    build_engine(watched.module, rows)
    (profile,) = watched.profiles
    assert [tuple(shape) for shape in profile.get_shape("x")] == [(1, 4), (1, 4), (MOST_WINDOWS, 4)]


def test_a_fixed_batch_needs_no_profile(tmp_path: Path) -> None:
    g = GraphBuilder()
    model = g.model("fixed", {"x": (1, (2, 4))}, {"y": (g.node("Softmax", "x", axis=-1), (2, 4))})
    onnx.save(model, tmp_path / "fixed.onnx")
    watched = Watched()
    build_engine(watched.module, tmp_path / "fixed.onnx")
    assert watched.profiles == []


def test_a_build_says_how_far_it_is(tiny_bundle: Bundle) -> None:
    steps: list[tuple[str, int, int]] = []
    build_engine(trt, tiny_bundle.forward(), on_step=lambda *step: steps.append(step))
    assert len({phase for phase, _, _ in steps}) > 2
    assert all(0 <= done <= total for _, done, total in steps)


def test_without_onnx_only_f32_can_be_built(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    build_engine(trt, tiny_bundle.forward(), "f32")
    with pytest.raises(BackendUnavailableError, match=r"f16 needs onnx to rewrite the graph .*; run: pip install onnx"):
        build_engine(trt, tiny_bundle.forward(), "f16")


def test_what_is_there_is_not_built_again_unless_forced(tiny_bundle: Bundle, tmp_path: Path) -> None:
    choice, graphs = choose("tensorrt-rtx", "f32"), [tiny_bundle.forward()]
    (first,) = build_engines(choice, graphs, tmp_path, force=False)
    assert first.layers is not None
    before = first.path.stat().st_mtime_ns
    (again,) = build_engines(choice, graphs, tmp_path, force=False)
    assert (again.layers, again.path) == (None, first.path)
    assert first.path.stat().st_mtime_ns == before
    (forced,) = build_engines(choice, graphs, tmp_path, force=True)
    assert forced.path.stat().st_mtime_ns > before


def test_engines_built_ahead_are_for_no_certain_gpu(tiny_bundle: Bundle) -> None:
    choice: Choice = choose("tensorrt-rtx", "f16")
    assert choice.gpu is None
    assert choice.key(tiny_bundle.forward()).gpu == AHEAD_OF_TIME
