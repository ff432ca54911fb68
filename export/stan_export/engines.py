"""Builds the TensorRT engines of a bundle before they are needed; without torch, as on the machine that runs them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stan_edge.backends.tensorrt.build import build_engine, progress_line
from stan_edge.backends.tensorrt.cache import load, store
from stan_edge.backends.tensorrt.library import Choice
from stan_edge.errors import ConfigError


@dataclass(frozen=True)
class Built:
    """One engine on disk."""

    graph: str
    path: Path
    layers: int | None
    """None: it was there already."""
    seconds: float


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
