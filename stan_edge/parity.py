"""Does a backend reproduce the float64 results recorded in the bundle?

Logits that match prove nothing about gradients: some engines compute the right label and wrong frame scores.
So the recordings are replayed for every backend and precision before its scores are shown to anyone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import GPU_BACKENDS, candidates, open_candidate
from stan_edge.errors import BackendError, BackendUnavailableError, BundleError, ParityError
from stan_edge.files import cache_folder
from stan_edge.model.bundle import Bundle
from stan_edge.model.contract import Method
from stan_edge.pipeline.predictor import Classifier, Explainer

_logger = logging.getLogger(__name__)

TOLERANCE = {"f32": 1e-4, "bf16": 2e-2, "f16": 2e-2}
"""Largest error over the largest reference value, by precision."""
MOST_RECORDED_BYTES = 1 << 30
"""Unpacked; the shipped model's recordings are 3 MB, and a few kB of zip can claim any size."""
SMALLEST = 1e-30
"""Keeps a recording of nothing but zeros (a Grad-CAM that is negative everywhere) from being 0 / 0."""


@dataclass(frozen=True)
class ParityRow:
    """Largest errors of one method on one backend, relative to the largest reference value of each recording."""

    backend: str
    precision: str
    method: Method
    logits_error: float
    scores_error: float
    map_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        # each compared by itself: max() would let a NaN through
        return all(error <= self.tolerance for error in (self.logits_error, self.scores_error, self.map_error))


def replay(bundle: Bundle, backend: Backend, explainer: Explainer) -> ParityRow:
    """Run every recorded window through a loaded method and compare.

    Raises:
        BundleError: the recordings cannot be read.
    """
    errors = []
    frames, classes, references = _recorded(bundle, explainer.method)
    for number, (window, class_index) in enumerate(zip(frames, classes, strict=True)):
        got = explainer(window, int(class_index))
        values = (got.logits, got.frame_scores, got.map)
        errors.append([_relative_error(*pair, number) for pair in zip(values, references, strict=True)])
    logits, scores, maps = map(float, np.max(errors, axis=0))  # NaN where one is
    tolerance = TOLERANCE[backend.precision]
    return ParityRow(backend.name, backend.precision, explainer.method, logits, scores, maps, tolerance)


def _recorded(
    bundle: Bundle, method: Method
) -> tuple[NDArray[np.uint8], NDArray[np.integer[Any]], list[NDArray[np.float64]]]:
    """Windows, the class that each was explained for, and what came out: logits, frame scores, maps."""
    spec, path = bundle.contract.input, bundle.parity
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
        if unpacked_bytes > MOST_RECORDED_BYTES:
            raise ValueError(f"{unpacked_bytes} bytes of recordings")
        # opened here, because np.load leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as recorded:
            frames, classes = recorded["frames"], recorded["class_index"]
            references = {name: recorded[name] for name in ("logits", f"scores_{method}", f"map_{method}")}
        if frames.dtype != np.uint8 or frames.shape[-4:] != (spec.frames, spec.size_px, spec.size_px, 3):
            raise ValueError(f"frames are {frames.dtype} {frames.shape}")
        if classes.dtype.kind != "i" or classes.ndim != 1 or not 0 < len(classes) == len(frames):
            raise ValueError(f"{classes.shape} classes for {len(frames)} windows")
        for name, reference in references.items():
            if reference.dtype != np.float64 or len(reference) != len(frames):
                raise ValueError(f"{name} are {reference.dtype} {reference.shape}")
    except Exception as error:  # what zipfile, zlib and numpy's parser of headers raise has nothing in common
        raise BundleError(
            f"{path}: the recordings cannot be read ({error}); copy or export the bundle again."
        ) from error
    return frames, classes, list(references.values())


def _relative_error(value: NDArray[np.float32], references: NDArray[np.float64], number: int) -> float:
    """Largest difference over the largest value of the same recording; NaN stays NaN, another shape is infinite.

    A recording that is all but zero (a Grad-CAM with nothing above zero) counts against a thousandth of the
    largest value of all recordings; when all are zero, any other value counts as wrong.
    """
    if value.shape != references[number].shape:
        return float("inf")
    largest = max(np.abs(references[number]).max(), 1e-3 * np.abs(references).max(), SMALLEST)
    return float(np.abs(value.astype(np.float64) - references[number]).max() / largest)


def require_parity(bundle: Bundle, backend: Backend, explainer: Explainer) -> None:
    """Replay on the first use of a backend with a bundle on this machine; the verdict is remembered.

    Raises:
        ParityError: the backend misses the tolerance.
    """
    memory = _memory_path(bundle, backend, explainer)
    if memory is not None and os.access(memory, os.R_OK):
        return
    row = replay(bundle, backend, explainer)
    refuse_misses(bundle, row)
    if memory is not None:
        with suppress(OSError):  # a read-only home only means that the replay runs again next time
            memory.parent.mkdir(parents=True, exist_ok=True)
            memory.write_text(json.dumps(row.__dict__) + "\n", encoding="utf-8")


def open_proven(
    bundle: Bundle,
    methods: Sequence[Method],
    name: str = "auto",
    precision: str = "f32",
    *,
    threads: int = 0,
    allow_fallback: bool = False,
) -> tuple[Backend, list[Explainer]]:
    """Open an engine, load methods on it, and have them prove themselves.

    An engine on a GPU that fails at that gives way to the next one, with a word on stderr, where `auto` chose it or a
    fallback is allowed: whether it really loads is known only then.

    Raises:
        ConfigError, BackendUnavailableError: see `open_backend`.
        BackendError: the engine does not take a graph.
        ParityError: it misses the tolerance.
    """
    names = candidates(name, precision, allow_fallback=allow_fallback)
    problems = []
    for place, candidate in enumerate(names):
        try:
            backend = open_candidate(candidate, precision, threads=threads)
        except BackendUnavailableError as error:
            problems.append(str(error))
            continue
        try:
            explainers = [Explainer(bundle, backend, method) for method in methods]
            for explainer in explainers:
                require_parity(bundle, backend, explainer)
        except (BackendError, ParityError) as error:
            if candidate not in GPU_BACKENDS or place + 1 == len(names):
                raise
            problems.append(str(error))
            _logger.warning("%s Goes on with the next backend.", error)
            continue
        backend.fallback = name not in ("auto", candidate)
        return backend, explainers
    raise BackendUnavailableError(" ".join(problems))


def require_label_parity(bundle: Bundle, backend: Backend, labeller: Classifier) -> None:
    """Hold labels without explanations to the recordings.

    Raises:
        ParityError: the backend misses the tolerance.
    """
    with np.load(bundle.parity) as recorded:
        frames, logits = recorded["frames"], recorded["logits"]
    errors = [_relative_error(labeller(window).logits, logits, number) for number, window in enumerate(frames)]
    if not all(error <= TOLERANCE[backend.precision] for error in errors):
        raise ParityError(
            f"Backend {backend.name} ({backend.precision}) does not reproduce model {bundle.contract.name}: its labels "
            f"are off by {max(errors):.1e} in logits, allowed are {TOLERANCE[backend.precision]:.0e}; "
            "choose another --backend or --precision."
        )


def refuse_misses(bundle: Bundle, row: ParityRow) -> None:
    """Raises ParityError when a row misses its tolerance."""
    if not row.passed:
        raise ParityError(
            f"Backend {row.backend} ({row.precision}) does not reproduce model {bundle.contract.name}: method "
            f"{row.method} is off by {row.scores_error:.1e} in frame scores, {row.map_error:.1e} in maps and "
            f"{row.logits_error:.1e} in logits, allowed are {row.tolerance:.0e}; "
            "choose another --backend or --precision."
        )


def _memory_path(bundle: Bundle, backend: Backend, explainer: Explainer) -> Path | None:
    """One small file for everything that a verdict depends on, once it has passed; None without a home."""
    engine = (backend.name, backend.version, backend.precision, backend.device, explainer.identity)
    tolerance = f"{TOLERANCE[backend.precision]:g}"
    key = "|".join((bundle.digest, *engine, platform.node(), explainer.method, tolerance, version("stan-edge")))
    cache = cache_folder()
    return cache and cache / "parity" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
