"""An ONNX graph becomes an engine, with either library of TensorRT, from 10.0 on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.backends.base import MOST_WINDOWS, HalfPrecision, Precision
from stan_edge.errors import BackendError, BackendUnavailableError

OnStep = Callable[[str, int, int], None]
"""Phase of the build, steps done, steps of the phase."""


@dataclass(frozen=True, eq=False)
class Engine:
    plan: bytes
    layers: int


def build_engine(trt: Any, path: Path, precision: Precision = "f32", on_step: OnStep | None = None) -> Engine:
    """Parse a graph strongly typed (every tensor keeps the type the graph gives it) and build its engine.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`; see `import_library`.

    Raises:
        BackendError: the graph cannot be read, holds a node TensorRT does not take, or does not build.
        BackendUnavailableError: onnx, which rewrites the graph for any precision but f32, is not installed.
    """
    logger = collecting_logger(trt)
    builder = trt.Builder(logger)
    # 10 knows the flag and needs it; should a later one have dropped it, there is nothing else left
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
    parser = trt.OnnxParser(network, logger)
    if not path.is_file() or not _parse(parser, path, precision):
        reasons = [parser.get_error(k).desc() for k in range(parser.num_errors)]
        raise BackendError(f"TensorRT cannot read {path} ({first_line(reasons)}); export the model again.")
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default: products of 10 bits in a graph that says float32
    _add_profile(builder, network, config)
    if on_step is not None:
        config.progress_monitor = _monitor(trt, on_step)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(
            f"TensorRT reads {path} but cannot build it ({first_line(logger.errors)}); export the model again."
        )
    return Engine(bytes(plan), network.num_layers)


def _parse(parser: Any, path: Path, precision: Precision) -> bool:
    if precision == "f32":
        return bool(parser.parse_from_file(str(path)))
    return bool(parser.parse(half_graph(path, precision)))


def half_graph(path: Path, precision: HalfPrecision) -> bytes:
    """The graph rewritten for bf16 or f16, its weights within.

    Raises:
        BackendUnavailableError: onnx is not installed.
    """
    try:
        import onnx

        from stan_edge.backends.tensorrt.half import to_half
    except ImportError as error:
        raise BackendUnavailableError(
            f"Computing in {precision} needs onnx to rewrite the graph ({error}); run: pip install onnx."
        ) from error
    return to_half(onnx.load(path), precision).SerializeToString()


def _add_profile(builder: Any, network: Any, config: Any) -> None:
    """Inputs whose batch the graph leaves open take 1 to `MOST_WINDOWS` windows."""
    inputs = [network.get_input(k) for k in range(network.num_inputs)]
    opened = [entry for entry in inputs if -1 in tuple(entry.shape)]
    if not opened:
        return
    profile = builder.create_optimization_profile()
    for entry in opened:
        least, most = (tuple(size if side == -1 else side for side in entry.shape) for size in (1, MOST_WINDOWS))
        profile.set_shape(entry.name, least, least, most)
    config.add_optimization_profile(profile)


@contextmanager
def progress_line(what: str) -> Iterator[OnStep]:
    """A line on stderr while an engine is built, which takes seconds to minutes: the phase, its steps and the time."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def on_step(phase: str, done: int, steps: int) -> None:
            progress.update(task, description=f"{what}: {phase}", completed=done, total=steps or None)

        yield on_step


def _monitor(trt: Any, on_step: OnStep) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the package has no types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, _parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            on_step(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            on_step(phase, step + 1, self._steps[phase])
            return True  # false would cancel

        def phase_finish(self, phase: str) -> None: ...

    return Monitor()


def collecting_logger(trt: Any) -> Any:
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


def first_line(reasons: list[str]) -> str:
    """The first message on one line, without the noise about the CUDA driver that follows it."""
    lines = reasons[0].splitlines() if reasons else ["no reason given"]
    return "; ".join(line for line in lines if "Cuda Runtime" not in line).rstrip(". ")
