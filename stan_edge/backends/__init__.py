"""Inference engines behind one small interface. What was asked for is what runs, or it is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.cuda import has_gpu
from stan_edge.errors import BackendUnavailableError, ConfigError

Precision = Literal["f32", "bf16", "f16"]

BACKENDS = {"openvino": "openvino", "onnxruntime": "cpu"}
"""Name of each backend for the processor, fastest first, and the extra that brings it."""

GPU_BACKENDS = {
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt-rtx",
    "onnxruntime-cuda": "gpu",
    "onnxruntime-tensorrt": "gpu",
    "openvino-gpu": "openvino",
}
"""The same for a GPU."""

ALL_BACKENDS = (*BACKENDS, *GPU_BACKENDS)

AUTO_ON_GPU = ("tensorrt", "tensorrt-rtx", "onnxruntime-cuda")
"""What `auto` tries first where there is an NVIDIA GPU. Not OpenVINO's: an Intel GPU need not be faster than the
processor beside it."""

PRECISIONS: tuple[Precision, ...] = ("f32", "bf16", "f16")


class Graph(Protocol):
    """A loaded graph: named arrays in, named arrays out."""

    inputs: tuple[str, ...]

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]: ...


class Backend(Protocol):
    """An engine at one precision on one device."""

    name: str
    version: str
    precision: Precision
    device: str
    fallback: bool
    """True when this is not what was asked for; every record says so."""

    def load(self, path: Path) -> Graph:
        """Load an ONNX file.

        Raises:
            BackendError: the engine does not take the graph, or would run it elsewhere than asked.
        """
        ...


MOST_WINDOWS = 8
"""Largest batch that engines on a GPU are prepared for."""


@runtime_checkable
class Batching(Protocol):
    """A graph that takes several windows in one run, and gains by it.

    Those on a processor do not say so: of stan-t at 112, two cores, a window takes 13.5 ms alone and 21 in a run of
    eight (OpenVINO), because what lies between two layers then leaves the cache.
    """

    most_windows: int


@runtime_checkable
class BuiltGraph(Protocol):
    """A graph whose engine was built here: another build of it may choose other kernels."""

    identity: str


@dataclass(frozen=True)
class Placement:
    """Where an engine runs the nodes of a graph that compute something."""

    providers: dict[str, int]
    """Nodes by provider or device."""
    kernels: dict[str, int]
    """Nodes by kernel or operator, most first."""


@runtime_checkable
class Placing(Protocol):
    """A backend that can say where it runs the nodes of a graph; not every one can."""

    def placement(self, path: Path, feeds: Mapping[str, NDArray[Any]]) -> Placement:
        """Load a graph once more and see what runs where.

        Args:
            feeds: inputs to run it with, where running tells.
        """
        ...


def open_backend(
    name: str = "auto", precision: str = "f32", *, threads: int = 0, allow_fallback: bool = False
) -> Backend:
    """Open an engine by name; `auto` takes the fastest one that can run here.

    Args:
        threads: 0 lets the engine choose.
        allow_fallback: take another installed engine, marked as fallback, when the one asked for is missing.

    Raises:
        ConfigError: no backend or precision has this name.
        BackendUnavailableError: it is not installed, or cannot compute at this precision here.
    """
    problems = []
    for candidate in candidates(name, precision, allow_fallback=allow_fallback):
        try:
            backend = open_candidate(candidate, precision, threads=threads)
        except BackendUnavailableError as error:
            problems.append(str(error))
            continue
        backend.fallback = name not in ("auto", candidate)
        return backend
    raise BackendUnavailableError(" ".join(problems))


def candidates(name: str = "auto", precision: str = "f32", *, allow_fallback: bool = False) -> tuple[str, ...]:
    """The backends to try, in order, for one that was asked for.

    Raises:
        ConfigError: no backend or precision has this name.
    """
    if name not in ("auto", *BACKENDS, *GPU_BACKENDS):
        raise ConfigError(
            f"No backend is called {name!r}; choose auto, {' or '.join(BACKENDS)}, "
            f"or for a GPU {', '.join(GPU_BACKENDS)}."
        )
    if precision not in PRECISIONS:
        raise ConfigError(f"No precision is called {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if name == "auto":
        return (*(AUTO_ON_GPU if has_gpu() else ()), *BACKENDS)
    return (name, *(other for other in BACKENDS if allow_fallback and other != name))


def open_candidate(name: str, precision: str, *, threads: int = 0) -> Backend:
    """Open the backend of this name and no other; raises BackendUnavailableError where it cannot run."""
    module, opener = _OPENERS[name]
    try:
        backend: Backend = getattr(import_module(f"stan_edge.backends.{module}"), opener)(precision, threads)
    except ImportError as error:
        extra = (BACKENDS | GPU_BACKENDS)[name]
        raise BackendUnavailableError(
            f"Backend {name} cannot be imported ({error}); run: pip install 'stan-edge[{extra}]'."
        ) from error
    return backend


_OPENERS = {
    "openvino": ("openvino_backend", "open_engine"),
    "onnxruntime": ("onnxruntime_backend", "open_engine"),
    "tensorrt": ("tensorrt_backend", "open_tensorrt"),
    "tensorrt-rtx": ("tensorrt_backend", "open_tensorrt_rtx"),
    "onnxruntime-cuda": ("onnxruntime_gpu_backend", "open_cuda"),
    "onnxruntime-tensorrt": ("onnxruntime_gpu_backend", "open_tensorrt"),
    "openvino-gpu": ("openvino_gpu_backend", "open_engine"),
}
"""Module and function of each backend."""
