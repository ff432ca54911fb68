"""Pictures in memory, or from a generator, explained like a recording."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from stan_edge.errors import ConfigError
from stan_edge.model.bundle import methods_named, methods_to_show, open_bundle, shipped_bundle
from stan_edge.model.contract import shown_class
from stan_edge.parity import open_proven
from stan_edge.person.detection import watching
from stan_edge.reports.recording import RecordingReport, explain_recording
from stan_edge.sources import Frame
from stan_edge.types import Image


def explain_pictures(
    frames: Iterable[Image],
    fps: float,
    methods: Sequence[str] | None,
    model: Path | None,
    explain_class: str | None,
    backend: str,
    *,
    person: bool,
) -> RecordingReport:
    """See `stan_edge.explain`."""
    if not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"fps {fps:g}: give a rate above 0.")
    if methods is not None and not methods:
        raise ConfigError("methods is empty; give at least one method, or None for those that beat chance.")
    bundle = open_bundle(model or shipped_bundle())
    contract = bundle.contract
    target_class = None if explain_class is None else shown_class(contract, explain_class)
    chosen = methods_to_show(bundle) if methods is None else methods_named(bundle, methods)
    _, explainers = open_proven(bundle, chosen, backend)
    finding = watching(masks=contract.input.region == "mask") if person else nullcontext()
    with finding as tracker:
        return explain_recording(
            _Pictures(frames, fps), contract, explainers, tracker, contract.hop_s, target_class=target_class
        )


class _Pictures:
    """A source of pictures at a steady rate."""

    name, live = "pictures", False

    def __init__(self, frames: Iterable[Image], fps: float) -> None:
        self._frames: Iterator[Image] = iter(frames)
        self._fps = fps
        self._index = 0

    def read(self) -> Frame | None:
        picture = next(self._frames, None)
        if picture is None:
            return None
        image = np.asarray(picture)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ConfigError(
                f"Picture {self._index} is {image.dtype} of shape {image.shape}; give uint8 [height, width, 3], RGB."
            )
        self._index += 1
        return Frame(self._index - 1, (self._index - 1) / self._fps, image)

    def close(self) -> None:
        """Nothing to let go of."""
