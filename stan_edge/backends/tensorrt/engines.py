"""Builds the engines of a model before they are needed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.backends.base import PRECISIONS, Precision
from stan_edge.backends.cuda import Gpu, find_gpu
from stan_edge.backends.tensorrt.build import build_engine
from stan_edge.backends.tensorrt.cache import EngineKey, engine_key, load, store
from stan_edge.backends.tensorrt.library import AHEAD, LIBRARIES, import_library
from stan_edge.backends.tensorrt.progress import progress_line
from stan_edge.errors import BackendUnavailableError, ConfigError


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


@dataclass(frozen=True)
class Built:
    """One engine on disk."""

    graph: str
    path: Path
    layers: int | None
    """None: it was there already."""
    seconds: float


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
    for known in PRECISIONS:
        if known == precision:
            return _chosen(backend, known)
    raise ConfigError(f"No precision is called {precision!r}; choose one of {', '.join(PRECISIONS)}.")


def _chosen(backend: str, precision: Precision) -> Choice:
    if backend == AHEAD:
        return Choice(backend, import_library(backend), None, precision)
    try:
        gpu = find_gpu()
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            "TensorRT builds engines only on the machine whose GPU they are for, and this one shows none; "
            f"build there, or ahead of time with --backend {AHEAD}."
        ) from error
    return Choice(backend, import_library(backend), gpu, precision)


def build_engines(choice: Choice, graphs: Iterable[Path], folder: Path, *, force: bool) -> Iterator[Built]:
    """Build and keep the engine of each graph; one that is there and right is left unless `force`.

    Raises:
        EngineFileError: an engine that is there must not be used; with `force` it is replaced.
        ConfigError: the folder cannot be written.
        BackendError: see `build_engine`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)  # before minutes of building
    except OSError as error:
        raise _cannot_be_written(folder, error) from error
    for graph in graphs:
        key = choice.key(graph)
        again = f"{choice.command(graph)} --out {folder}"
        if not force and load(folder, key, again) is not None:
            yield Built(graph.stem, key.path(folder), None, 0.0)
            continue
        started_s = time.monotonic()
        with progress_line(graph.stem) as on_step:
            engine = build_engine(choice.trt, graph, choice.precision, on_step)
        try:
            path = store(folder, key, engine.plan)
        except OSError as error:
            raise _cannot_be_written(folder, error) from error
        yield Built(graph.stem, path, engine.layers, time.monotonic() - started_s)


def _cannot_be_written(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"Engines cannot be written to {folder} ({error.strerror}); give another folder by --out.")
