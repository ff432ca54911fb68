"""Does TensorRT take a graph? Asked ahead of time, on a machine that needs no GPU.

TensorRT for RTX shares its ONNX parser with TensorRT and builds engines for GPUs that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.errors import BackendError, BackendUnavailableError


@dataclass(frozen=True)
class EngineSize:
    """What came out of a build."""

    layers: int
    plan_bytes: int


def build_with_tensorrt_rtx(path: Path) -> EngineSize:
    """Parse a graph strongly typed (every tensor keeps the type the graph gives it) and build its engine.

    Raises:
        BackendUnavailableError: the package `tensorrt_rtx` is not installed.
        BackendError: the graph cannot be read, holds a node TensorRT does not take, or does not build.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise BackendUnavailableError(
            'TensorRT for RTX is not installed; pip install "stan-edge[tensorrt-rtx]".'
        ) from error
    logger = _collecting_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not path.is_file() or not parser.parse_from_file(str(path)):
        reasons = [parser.get_error(k).desc() for k in range(parser.num_errors)]
        raise BackendError(f"TensorRT cannot read {path} ({_first_line(reasons)}); export the model again.")
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        raise BackendError(
            f"TensorRT reads {path} but cannot build it ({_first_line(logger.errors)}); export the model again."
        )
    return EngineSize(layers=network.num_layers, plan_bytes=plan.nbytes)


def _collecting_logger(trt: Any) -> Any:
    """A logger that keeps errors for the exception instead of printing them.

    Without a GPU every error comes with one about the missing CUDA driver, which is not the cause.
    """

    class Collecting(trt.ILogger):  # type: ignore[misc]  # the package has no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR and "Cuda Runtime" not in message:
                self.errors.append(message)

    return Collecting()


def _first_line(reasons: list[str]) -> str:
    """The first message on one line, without the noise about the CUDA driver that follows it."""
    lines = reasons[0].splitlines() if reasons else ["no reason given"]
    return "; ".join(line for line in lines if "Cuda Runtime" not in line).rstrip(". ")
