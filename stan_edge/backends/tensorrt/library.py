"""Which of NVIDIA's two libraries builds engines here, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stan_edge.backends.base import PRECISIONS, Precision
from stan_edge.backends.cuda import Gpu, find_gpu
from stan_edge.backends.tensorrt.cache import EngineKey, engine_key
from stan_edge.errors import BackendUnavailableError, ConfigError

LIBRARIES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Module by the name of the backend, which is also that of the extra."""
AHEAD = "tensorrt-rtx"
"""Builds for GPUs that are not here, so that its engines are the same on every machine."""


@dataclass(frozen=True)
class Choice:
    """Which library builds for what."""

    backend: str
    trt: Any
    gpu: Gpu | None
    """None: for GPUs that are not here."""
    precision: Precision

    def key(self, graph: Path) -> EngineKey:
        return engine_key(self.backend, self.trt.__version__, self.gpu, self.precision, graph)

    def command(self, graph: Path) -> str:
        """What builds a graph's engine anew."""
        return f"stan-edge engine {graph.parent} --backend {self.backend} --precision {self.precision} --force"


def choose(backend: str, precision: str) -> Choice:
    """What can build here.

    Raises:
        ConfigError: no such backend or precision.
        BackendUnavailableError: the library is not installed; or it is TensorRT, and there is no GPU to build for.
    """
    if backend not in LIBRARIES:
        raise ConfigError(
            f"{backend!r} has no engines to build; choose {' or '.join(LIBRARIES)}.", field="model.backend"
        )
    if precision not in PRECISIONS:
        raise ConfigError(f"No precision is called {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    try:
        gpu = None if backend == AHEAD else find_gpu()
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            "TensorRT builds engines only on the machine whose GPU they are for, and this one shows none; "
            f"build there, or ahead of time with --backend {AHEAD}."
        ) from error
    return Choice(backend, import_library(backend), gpu, precision)


def import_library(backend: str) -> Any:
    """The module of a backend.

    Raises:
        BackendUnavailableError: it is not installed, or its own libraries cannot be loaded.
    """
    try:
        return import_module(LIBRARIES[backend])
    except ImportError as error:
        title = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}[backend]
        raise BackendUnavailableError(
            f"{title} cannot be imported ({str(error).splitlines()[0]}); run: pip install 'stan-edge[{backend}]' "
            "(on a Jetson it is JetPack's own: make the virtual environment with --system-site-packages)."
        ) from error
