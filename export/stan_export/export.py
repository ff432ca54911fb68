"""What `stan-edge export` does: a checkpoint becomes a bundle that has proven itself on every backend here."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stan_edge.backends import BACKENDS, open_backend
from stan_edge.bundle import DIGESTS, PARITY, Bundle, file_digest, open_bundle
from stan_edge.contract import METHODS, Contract, EventSpec, InputSpec
from stan_edge.errors import BackendUnavailableError, ConfigError, ParityError
from stan_edge.explainer import PREDICTED, Explainer
from stan_edge.parity import replay
from stan_export.calibrate import CalibrationWindows, calibrate, read_calibration, shown_classes, uncalibrated
from stan_export.graphs import export_graphs
from stan_export.parity import record
from stan_export.seal import put_in_place, seal
from stan_train.checkpoint import Checkpoint, load_checkpoint

EVENTS = EventSpec(enter=0.6, leave=0.35, min_duration_s=0.4, merge_gap_s=1.0)
HOP_TICKS = 2
CHECKPOINT_DIGEST = "checkpoint_sha256"


def export(checkpoint_path: Path, out: Path, calibration: Path | None, *, force: bool = False) -> None:
    """Write the bundle `out`; nothing is left behind when a step fails.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError: `out` exists (with `force`: and is no bundle), or the calibration does not fit.
        ParityError: a backend on this machine does not reproduce the float64 results.
    """
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; give another folder or --force.")
    if out.exists() and not (out / DIGESTS).is_file():
        raise ConfigError(f"{out} is no model bundle, --force would delete it; give another folder.")
    if not out.parent.is_dir():
        raise ConfigError(f"-o {out}: the folder {out.parent} does not exist; make it first.")
    checkpoint = load_checkpoint(checkpoint_path)
    beside = checkpoint_path.with_name("calibration.npz")
    source = _read_source(calibration or (beside if beside.is_file() else None), checkpoint, checkpoint_path)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        part = Path(scratch) / "new"
        part.mkdir()
        _write(part, checkpoint, checkpoint_path, source, Console())
        put_in_place(part, out)


def _read_source(
    path: Path | None, checkpoint: Checkpoint, checkpoint_path: Path
) -> CalibrationWindows | Bundle | None:
    """Labelled windows, or an earlier bundle of the same checkpoint whose numbers still hold."""
    if path is None or not path.is_dir():
        return read_calibration(path, checkpoint.input, len(checkpoint.classes)) if path else None
    earlier = open_bundle(path)
    if earlier.contract.provenance.get(CHECKPOINT_DIGEST) != file_digest(checkpoint_path):
        raise ConfigError(f"--calibration {path}: that bundle was made from another checkpoint; give labelled windows.")
    return earlier


def _write(
    folder: Path, checkpoint: Checkpoint, path: Path, source: CalibrationWindows | Bundle | None, console: Console
) -> None:
    spec = checkpoint.input
    export_graphs(checkpoint.model, spec, folder)
    console.print(f"graphs: forward, {', '.join(METHODS)}")
    frames, class_index = _parity_windows(spec, len(checkpoint.classes), source)
    np.savez_compressed(folder / PARITY, **record(checkpoint.model, spec, frames, class_index))
    console.print(f"float64 reference: {len(frames)} windows")
    contract = Contract(
        schema_version=2,
        name=checkpoint.name,
        classes=checkpoint.classes,
        background=checkpoint.background,
        alarms=checkpoint.alarms,
        input=spec,
        hop_s=HOP_TICKS * spec.tick_s,
        temperature=1.0,
        methods={
            method: uncalibrated(method, spec.frames, shown_classes(checkpoint.classes, checkpoint.background))
            for method in METHODS
        },
        events=dict.fromkeys(checkpoint.alarms, EVENTS),
        calibration=None,
        provenance=checkpoint.provenance
        | {CHECKPOINT_DIGEST: file_digest(path), "exported_with": f"stan-edge {version('stan-edge')}"},
    )
    seal(folder, contract)
    if source is None:
        console.print("no calibration windows: importance will be relative within each window", style="yellow")
    elif isinstance(source, Bundle):
        seal(folder, _calibrated_before(contract, source.contract))
        console.print(f"calibration: as in {source.folder}", markup=False)
    else:
        seal(folder, _calibrated(open_bundle(folder), source, console))
    _prove(open_bundle(folder), console)


def _calibrated(bundle: Bundle, windows: CalibrationWindows, console: Console) -> Contract:
    contract = bundle.contract
    backend = open_backend()
    methods, provenance = dict(contract.methods), dict(contract.provenance)
    for method in METHODS:
        explainer = Explainer(bundle, backend, method)
        found = calibrate(explainer, windows, contract.classes, contract.background, contract.temperature)
        methods[method] = found.spec
        provenance[f"calibration_{method}"] = found.figures
        console.print(f"{method}: {found.figures}", highlight=False, markup=False)
    return contract.model_copy(update={"methods": methods, "provenance": provenance})


def _calibrated_before(contract: Contract, earlier: Contract) -> Contract:
    figures = {key: text for key, text in earlier.provenance.items() if key.startswith("calibration_")}
    chosen = {
        "temperature": earlier.temperature,
        "methods": contract.methods | earlier.methods,  # a method that is new since then is not calibrated
        "events": earlier.events,
        "calibration": earlier.calibration,
    }
    return contract.model_copy(update=chosen | {"provenance": contract.provenance | figures})


def _parity_windows(
    spec: InputSpec, classes: int, source: CalibrationWindows | Bundle | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A window of noise, and with calibration one real window for each of three classes; the class explained
    is the window's own for some and another for others."""
    if isinstance(source, Bundle):
        with np.load(source.parity) as recorded:
            return recorded["frames"], recorded["class_index"]
    rng = np.random.default_rng(0)
    shape = (spec.frames, spec.size_px, spec.size_px, 3)
    frames = [rng.integers(0, 256, shape, np.uint8)]
    class_index = [PREDICTED]
    if source is not None:
        for number, label in enumerate(np.unique(source.labels)[:3]):
            frames.append(source.frames[np.flatnonzero(source.labels == label)[0]])
            class_index.append(int(label) if number % 2 else PREDICTED)
    return np.stack(frames), np.array(class_index, np.int64)


def _prove(bundle: Bundle, console: Console) -> None:
    for name in BACKENDS:
        try:
            backend = open_backend(name)
        except BackendUnavailableError as error:
            console.print(f"not checked: {error}", style="dim", highlight=False, markup=False)
            continue
        for method in METHODS:
            row = replay(bundle, backend, Explainer(bundle, backend, method))
            errors = f"frame scores {row.scores_error:.1e}, maps {row.map_error:.1e}, logits {row.logits_error:.1e}"
            figures = f"{name} {method}: {errors}"
            if not row.passed:
                raise ParityError(f"{figures} exceed {row.tolerance:.0e}; the bundle was not written.")
            console.print(f"{figures} of float64", highlight=False, markup=False)
