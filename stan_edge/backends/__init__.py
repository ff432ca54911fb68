"""Inference engines behind one small interface. What was asked for is what runs, or it is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import BackendUnavailableError, ConfigError

Precision = Literal["f32", "bf16", "f16"]

BACKENDS = {"openvino": "openvino", "onnxruntime": "cpu"}
"""Name of each backend, fastest on a CPU first, and the extra that brings it."""

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
    """Open an engine by name; `auto` takes the fastest one installed.

    Args:
        threads: 0 lets the engine choose.
        allow_fallback: take another installed engine, marked as fallback, when the one asked for is missing.

    Raises:
        ConfigError: no backend or precision has this name.
        BackendUnavailableError: it is not installed, or cannot compute at this precision here.
    """
    if name not in ("auto", *BACKENDS):
        raise ConfigError(f"No backend is called {name!r}; choose auto, {' or '.join(BACKENDS)}.")
    if precision not in PRECISIONS:
        raise ConfigError(f"No precision is called {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    wanted = list(BACKENDS) if name == "auto" else [name]
    problems = []
    for candidate in wanted + ([other for other in BACKENDS if other not in wanted] if allow_fallback else []):
        try:
            backend = _factory(candidate)(precision, threads)
        except BackendUnavailableError as error:
            problems.append(str(error))
            continue
        if name not in ("auto", candidate):
            backend.fallback = True
        return backend
    raise BackendUnavailableError(" ".join(problems))


def _factory(name: str) -> Callable[[str, int], Backend]:
    try:
        return import_module(f"stan_edge.backends.{name}_backend").open_engine
    except ImportError as error:
        raise BackendUnavailableError(
            f"Backend {name} cannot be imported ({error}); run: pip install 'stan-edge[{BACKENDS[name]}]'."
        ) from error
