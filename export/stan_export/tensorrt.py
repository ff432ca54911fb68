"""Does TensorRT take a graph? Asked ahead of time, on a machine that needs no GPU.

TensorRT for RTX shares its ONNX parser with TensorRT and builds engines for GPUs that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stan_edge.backends.base import Precision
from stan_edge.backends.tensorrt.build import build_engine
from stan_edge.backends.tensorrt.library import import_library


@dataclass(frozen=True)
class EngineSize:
    """What came out of a build."""

    layers: int
    plan_bytes: int


def build_with_tensorrt_rtx(path: Path, precision: Precision = "f32") -> EngineSize:
    """Build an engine as `stan-edge engine` would, and throw it away.

    Raises:
        BackendUnavailableError: the package `tensorrt_rtx` is not installed.
        BackendError: see `build_engine`.
    """
    engine = build_engine(import_library("tensorrt-rtx"), path, precision)
    return EngineSize(layers=engine.layers, plan_bytes=len(engine.plan))
