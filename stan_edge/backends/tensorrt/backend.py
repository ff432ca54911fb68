"""TensorRT and TensorRT for RTX on an NVIDIA GPU. Engines come from the cache; one that is not there is built."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from stan_edge.backends.base import Precision
from stan_edge.backends.cuda import CudaDevice, Gpu, find_gpu
from stan_edge.backends.tensorrt.build import build_engine, collecting_logger, first_line, progress_line
from stan_edge.backends.tensorrt.cache import engines_folder, load, store
from stan_edge.backends.tensorrt.graph import TensorRtGraph
from stan_edge.backends.tensorrt.library import Choice, choose
from stan_edge.errors import BackendUnavailableError, EngineFileError

_logger = logging.getLogger(__name__)


class TensorRtBackend:
    """On the first GPU. Made only where there is one: without it the library's runtime is a null pointer."""

    fallback = False

    def __init__(self, choice: Choice, gpu: Gpu) -> None:
        trt = choice.trt
        self.name = choice.backend
        self.version: str = trt.__version__
        self.precision = choice.precision
        self.device = str(gpu)
        self._choice = choice
        self._logger = collecting_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._memory = CudaDevice()

    def load(self, path: Path) -> TensorRtGraph:
        plan = _plan(self._choice, path)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineFileError(
                f"{self.name} cannot load the engine of {path} ({first_line(self._logger.errors)}); "
                f"run: {self._choice.command(path)}."
            )
        return TensorRtGraph(self._choice.trt, engine, self._memory, hashlib.sha256(plan).hexdigest())


def _plan(choice: Choice, graph: Path) -> bytes:
    """The engine of a graph from the cache, built and kept where it is missing.

    Raises:
        EngineFileError: the one in the cache must not be used.
        BackendError: it cannot be built.
    """
    key = choice.key(graph)
    folder = engines_folder()
    plan = None if folder is None else load(folder, key, choice.command(graph))
    if plan is not None:
        return plan
    title = f"{choice.backend} engine of {graph.stem} in {choice.precision}"
    _logger.info("building the %s, once on this machine", title)
    with progress_line(graph.stem) as on_step:
        plan = build_engine(choice.trt, graph, choice.precision, on_step).plan
    try:
        if folder is not None:
            store(folder, key, plan)
    except OSError as error:
        _logger.warning("it is built anew at each start: %s cannot be written (%s)", folder, error.strerror)
    return plan


def _open(name: str, precision: Precision) -> TensorRtBackend:
    """Raises BackendUnavailableError without a GPU or the library."""
    gpu = find_gpu()
    try:
        import cuda.bindings.runtime  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            f"Backend {name} needs NVIDIA's cuda-bindings ({error}); run: pip install 'stan-edge[{name}]' "
            "(with CUDA 12, as on JetPack 6: pip install 'cuda-bindings<13')."
        ) from error
    return TensorRtBackend(choose(name, precision), gpu)


def open_tensorrt(precision: Precision, _threads: int) -> TensorRtBackend:
    return _open("tensorrt", precision)


def open_tensorrt_rtx(precision: Precision, _threads: int) -> TensorRtBackend:
    return _open("tensorrt-rtx", precision)
