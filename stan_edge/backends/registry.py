"""Engines by name. What was asked for is what runs, or it is an error."""

from __future__ import annotations

from importlib import import_module

from stan_edge.backends.base import PRECISIONS, Backend
from stan_edge.backends.cuda import find_gpu, has_gpu
from stan_edge.errors import BackendUnavailableError, ConfigError

BACKENDS = {"openvino": "openvino", "onnxruntime": "cpu"}
"""Name of each backend for the processor, fastest first, and the extra that brings it."""

GPU_BACKENDS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt-rtx", "onnxruntime-cuda": "gpu"}
"""The same for an NVIDIA GPU."""

ALL_BACKENDS = (*BACKENDS, *GPU_BACKENDS)


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
    if name not in ("auto", *ALL_BACKENDS):
        raise ConfigError(
            f"No backend is called {name!r}; choose auto, {' or '.join(BACKENDS)}, "
            f"or for a GPU {', '.join(GPU_BACKENDS)}."
        )
    if precision not in PRECISIONS:
        raise ConfigError(f"No precision is called {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if name == "auto":
        return (*(GPU_BACKENDS if has_gpu() else ()), *BACKENDS)
    return (name, *(other for other in BACKENDS if allow_fallback and other != name))


def open_candidate(name: str, precision: str, *, threads: int = 0) -> Backend:
    """Open the backend of this name and no other; raises BackendUnavailableError where it cannot run."""
    module, opener = _OPENERS[name]
    if name in GPU_BACKENDS:
        find_gpu()  # before a library that would crash without one is imported
    try:
        backend: Backend = getattr(import_module(f"stan_edge.backends.{module}"), opener)(precision, threads)
    except ImportError as error:
        extra = (BACKENDS | GPU_BACKENDS)[name]
        raise BackendUnavailableError(
            f"Backend {name} cannot be imported ({error}); run: pip install 'stan-edge[{extra}]'."
        ) from error
    return backend


_OPENERS = {
    "openvino": ("openvino", "open_engine"),
    "onnxruntime": ("onnxruntime", "open_engine"),
    "tensorrt": ("tensorrt.backend", "open_tensorrt"),
    "tensorrt-rtx": ("tensorrt.backend", "open_tensorrt_rtx"),
    "onnxruntime-cuda": ("onnxruntime_cuda", "open_engine"),
}
"""Module and function of each backend."""
