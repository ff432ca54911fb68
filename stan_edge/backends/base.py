"""What every inference engine can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:  # the names below are for the command's help, too, which loads nothing heavy
    import numpy as np
    from numpy.typing import NDArray

BackendName = Literal["auto", "openvino", "onnxruntime", "tensorrt", "tensorrt-rtx", "onnxruntime-cuda"]
Precision = Literal["f32", "bf16", "f16"]
HalfPrecision = Literal["bf16", "f16"]

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


def engine_name(backend: Backend) -> str:
    """What a contract calls an engine."""
    return f"{backend.name} {backend.precision}"
