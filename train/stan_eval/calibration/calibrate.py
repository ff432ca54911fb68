"""What `stan-edge calibrate` does: clips run through a bundle, and the contract gets the figures they ask for."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stan_edge.backends.base import Backend
from stan_edge.errors import ConfigError, SourceError
from stan_edge.model.bundle import Bundle, open_bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.parity import require_parity
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.pipeline.windows import Window
from stan_eval.calibration.choices import Recordings, calibrated_contract, decide
from stan_eval.calibration.report import print_report
from stan_eval.replay import replay
from stan_export.frame_calibration import still_scores
from stan_export.seal import put_in_place, seal
from stan_train.manifest import Clip, read_manifest
from stan_train.progress import progress_bar

STILL_WINDOWS = 200
"""Windows of which the response to stillness is taken: it is a mean, and converges long before all are used."""


def calibrate(
    folder: Path, data: Path, out: Path, methods: Sequence[Method], false_alarms_per_hour: float, backend: Backend
) -> None:
    """Calibrate the bundle `folder` on the clips of the manifest `data`, and write it to `out`.

    Args:
        out: a new folder, or `folder` itself, which is then replaced once everything has succeeded.
        methods: the attribution methods to calibrate; others keep what they have.

    Raises:
        ConfigError: `out` cannot be written, the clips do not fit the model's classes or tell nothing apart.
        ParityError: the backend does not reproduce the bundle's recorded gradients.
    """
    if out.resolve() != folder.resolve() and out.exists():
        raise ConfigError(f"--out {out} exists already; give another folder, or leave --out away to replace BUNDLE.")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: the folder {out.parent} does not exist; make it first.")
    bundle = open_bundle(folder)
    clips = read_manifest(data)
    check_clips(data, clips, bundle.contract)
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent) as scratch:
            recordings = record(bundle, clips, methods, backend, console)
            check_clips(data, [windows.clip for windows in recordings.clips], bundle.contract)
            chosen = decide(recordings, bundle.contract, false_alarms_per_hour)
            new = calibrated_contract(bundle.contract, chosen, recordings, data, false_alarms_per_hour)
            part = Path(scratch) / "new"
            shutil.copytree(folder, part)
            seal(part, new)
            open_bundle(part)
            put_in_place(part, out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error}); choose another folder with --out.") from error
    print_report(console, chosen, new, false_alarms_per_hour)
    console.print(f"written: {out}", markup=False, highlight=False)


def check_clips(data: Path, clips: Sequence[Clip], contract: Contract) -> None:
    """Raises ConfigError when labels and classes differ either way, or a file is not there."""
    for clip in clips:
        if clip.label not in contract.classes:
            raise ConfigError(
                f"{data}: {clip.path} shows {clip.label!r}, which is not one of the classes of {contract.name} "
                f"({', '.join(contract.classes)}); correct the label or leave the clip out."
            )
        if not clip.path.is_file():
            raise ConfigError(f"{data}: {clip.path} does not exist; put it there or scan the folder again.")
    missing = [name for name in contract.classes if name not in {clip.label for clip in clips}]
    if missing:
        raise ConfigError(
            f"{data} holds no clip of {', '.join(missing)}; nothing can be chosen for a class that is never shown, "
            "add such clips."
        )


def record(
    bundle: Bundle, clips: Sequence[Clip], methods: Sequence[Method], backend: Backend, console: Console
) -> Recordings:
    """Run all clips through the bundle; one that cannot be read is named and left out."""
    explainers = [Explainer(bundle, backend, method) for method in methods]
    for explainer in explainers:
        require_parity(bundle, backend, explainer)
    still: dict[Method, list[NDArray[np.float32]]] = {method: [] for method in methods}
    done = []
    with progress_bar("clips", console) as on_clip:
        for number, clip in enumerate(clips):
            keep_still = _EveryNth(_step(clip, bundle.contract, len(clips)), explainers, still)
            try:
                done.append(replay(clip, explainers, bundle.contract, on_window=keep_still))
            except (SourceError, ConfigError) as error:
                console.print(f"left out: {clip.path}: {error}", style="yellow", markup=False, highlight=False)
            on_clip(number + 1, len(clips))
    if not any(still.values()):
        raise ConfigError("No clip gave a valid window; look at one with `stan-edge run` to see why.")
    return Recordings(done, {method: np.stack(rows) for method, rows in still.items()})


class _EveryNth:
    """Takes the response to stillness from every n-th valid window."""

    def __init__(
        self, step: int, explainers: Sequence[Explainer], still: dict[Method, list[NDArray[np.float32]]]
    ) -> None:
        self._step, self._explainers, self._still = step, explainers, still
        self._seen = 0

    def __call__(self, _window: Window, pictures: NDArray[np.uint8] | None, _explanation: Explanation | None) -> None:
        if pictures is None:
            return
        if self._seen % self._step == 0:
            for explainer in self._explainers:
                self._still[explainer.method].append(still_scores(explainer, pictures))
        self._seen += 1


def _step(clip: Clip, contract: Contract, clips: int) -> int:
    """Every which window of a clip to take, so that all clips together give about STILL_WINDOWS."""
    windows = max((clip.duration_s - contract.input.window_s) / contract.hop_s, 0.0) + 1
    return math.ceil(windows / max(STILL_WINDOWS / clips, 1.0))
