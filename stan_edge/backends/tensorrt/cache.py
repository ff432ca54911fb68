"""Engines on disk. Each is one file that says what it was built from and for, and is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from stan_edge.backends.base import Precision
from stan_edge.backends.cuda import Gpu
from stan_edge.errors import EngineFileError
from stan_edge.files import cache_folder, file_digest
from stan_edge.model.bundle import WEIGHTS

AHEAD_OF_TIME = "ahead of time"
"""Instead of the GPU's name, where an engine is for all of them."""
MAGIC = b"stan-edge engine 1\n"
LONGEST_HEADER = 4096


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on."""

    library: str
    version: str
    gpu: str
    """Name and compute capability, or `AHEAD_OF_TIME`."""
    precision: Precision
    graph: str
    """Name of the graph's file without its ending."""
    graph_digest: str
    """Of the graph and its weights."""
    stan_edge: str
    """Release that rewrote the graph for the precision, and chose how to build."""

    def path(self, folder: Path) -> Path:
        """Readable by people, another one for every key."""
        for_what = f"{self.library}-{self.version}-{self.precision}-{self.gpu}"
        digest = hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]
        return folder / re.sub(r"[^A-Za-z0-9.]+", "-", for_what).strip("-") / f"{self.graph}-{digest}.engine"


def engine_key(backend: str, library_version: str, gpu: Gpu | None, precision: Precision, graph: Path) -> EngineKey:
    """The key of a graph's engine.

    Args:
        gpu: None for an engine that is built ahead of time.
    """
    weights = graph.with_name(WEIGHTS)
    files = [graph, weights] if weights.is_file() else [graph]
    digest = hashlib.sha256("".join(file_digest(path) for path in files).encode()).hexdigest()
    for_gpu = AHEAD_OF_TIME if gpu is None else str(gpu)
    made_by = version("stan-edge")
    return EngineKey(backend, library_version, for_gpu, precision, graph.stem, f"sha256:{digest}", made_by)


def engines_folder() -> Path | None:
    """Where backends look for engines; None without a home."""
    cache = cache_folder()
    return cache and cache / "engines"


def store(folder: Path, key: EngineKey, plan: bytes) -> Path:
    """Put an engine in place; raises OSError, and then nothing half-written is left."""
    path = key.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = asdict(key) | {"plan_bytes": len(plan), "plan_sha256": hashlib.sha256(plan).hexdigest()}
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        part = Path(file.name)
        try:
            file.write(MAGIC + json.dumps(about).encode() + b"\n")
            file.write(plan)
            file.flush()
            os.fsync(file.fileno())
            part.chmod(0o644)  # a service may run as somebody else
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return path


def load(folder: Path, key: EngineKey, again: str) -> bytes | None:
    """The plan of an engine, None when it was not built yet.

    Args:
        again: the command that builds it anew.

    Raises:
        EngineFileError: the file is damaged, or was built for something else.
    """
    path = key.path(folder)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EngineFileError(f"The engine {path} cannot be read ({error.strerror}); run: {again}.") from error
    header, newline, plan = content[len(MAGIC) :].partition(b"\n")
    if not content.startswith(MAGIC) or not newline or len(header) > LONGEST_HEADER:
        raise EngineFileError(f"{path} is no engine that stan-edge wrote; run: {again}.")
    try:
        about = json.loads(header)
        digest, wrong = about["plan_sha256"], [name for name, value in asdict(key).items() if about[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise EngineFileError(f"The engine {path} is damaged (its header cannot be read); run: {again}.") from error
    if wrong:
        here = ", ".join(f"{name} {getattr(key, name)!r}, not {about[name]!r}" for name in wrong)
        raise EngineFileError(f"The engine {path} is for something else (needed is {here}); run: {again}.")
    if hashlib.sha256(plan).hexdigest() != digest:
        raise EngineFileError(f"The engine {path} is damaged (its digest is wrong); run: {again}.")
    return plan
