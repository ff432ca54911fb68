"""What `stan-edge export` does: a trained network becomes a bundle that has proven itself on every backend here."""

from __future__ import annotations

import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.errors import BackendUnavailableError, ConfigError, ParityError
from stan_edge.files import file_digest
from stan_edge.model.bundle import DIGESTS, PARITY, Bundle, open_bundle
from stan_edge.model.contract import FORMS, METHODS, Contract, EventSpec, InputSpec
from stan_edge.parity import replay
from stan_edge.pipeline.predictor import PREDICTED, Explainer
from stan_export.explainable import Explainable
from stan_export.forms import measure_forms
from stan_export.frame_calibration import (
    CalibrationWindows,
    activity_classes,
    calibrate,
    read_calibration,
    uncalibrated,
)
from stan_export.graphs import export_graphs
from stan_export.parity import record
from stan_export.seal import put_in_place, seal
from stan_train.checkpoint import load_checkpoint

EVENTS = EventSpec(enter=0.6, leave=0.35, min_duration_s=0.4, merge_gap_s=1.0)
HOP_TICKS = 2
CHECKPOINT_DIGEST = "checkpoint_sha256"


def export(checkpoint: Path, out: Path, calibration: Path | None, *, force: bool = False) -> None:
    """Write the bundle `out` from a checkpoint that `stan-edge train` wrote.

    Args:
        calibration: see `write_bundle`; by default the calibration.npz beside the checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ConfigError, ParityError: see `write_bundle`.
    """
    check_out(out, force=force)
    beside = checkpoint.with_name("calibration.npz")
    write_bundle(read_checkpoint(checkpoint), out, calibration or (beside if beside.is_file() else None), force=force)


def read_checkpoint(path: Path) -> Explainable:
    """A STAN that `stan-edge train` wrote, by all methods.

    Raises:
        CheckpointError: see `load_checkpoint`.
    """
    checkpoint = load_checkpoint(path)
    activities = activity_classes(checkpoint.classes, checkpoint.background)
    return Explainable(
        name=checkpoint.name,
        classes=checkpoint.classes,
        background=checkpoint.background,
        alarms=checkpoint.alarms,
        input=checkpoint.input,
        provenance=checkpoint.provenance | {CHECKPOINT_DIGEST: file_digest(path)},
        methods={method: uncalibrated(method, checkpoint.input.frames, activities) for method in METHODS},
        forms=FORMS,
        write_graphs=partial(export_graphs, checkpoint.model, checkpoint.input),
        record=partial(record, checkpoint.model, checkpoint.input),
    )


def check_out(out: Path, *, force: bool) -> None:
    """Raises ConfigError when a bundle cannot be written to `out`, or (with `force`) would replace something else."""
    if out.exists() and not force:
        raise ConfigError(f"{out} exists already; give another folder or --force.")
    if out.exists() and not (out / DIGESTS).is_file():
        raise ConfigError(f"{out} is no model bundle, --force would delete it; give another folder.")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"-o {out}: the folder {out.parent} does not exist; make it first.")


def write_bundle(network: Explainable, out: Path, calibration: Path | None = None, *, force: bool = False) -> None:
    """Write a bundle; nothing is left behind when a step fails.

    Args:
        calibration: labelled windows (.npz), or an earlier bundle of the same weights whose numbers still hold.
        force: replace the bundle that is there.

    Raises:
        ConfigError: `out` exists (with `force`: and is no bundle), the calibration does not fit, or the network has an
            operator without a graph.
        ParityError: a backend on this machine does not reproduce the float64 results.
    """
    check_out(out, force=force)
    source = None if calibration is None else _read_source(calibration, network)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent) as scratch:
        part = Path(scratch) / "new"
        part.mkdir()
        _write(part, network, source, Console())
        put_in_place(part, out)


def _read_source(path: Path, network: Explainable) -> CalibrationWindows | Bundle:
    if not path.is_dir():
        return read_calibration(path, network.input, len(network.classes))
    earlier = open_bundle(path)
    if earlier.contract.provenance.get(CHECKPOINT_DIGEST) != network.provenance[CHECKPOINT_DIGEST]:
        raise ConfigError(f"--calibration {path}: that bundle was made from another checkpoint; give labelled windows.")
    return earlier


def _write(folder: Path, network: Explainable, source: CalibrationWindows | Bundle | None, console: Console) -> None:
    network.write_graphs(folder)
    console.print(f"graphs: forward, {', '.join(network.methods)}")
    frames, class_index = _parity_windows(network.input, len(network.classes), source)
    np.savez_compressed(folder / PARITY, **network.record(frames, class_index))
    console.print(f"float64 reference: {len(frames)} windows")
    contract = Contract(
        schema_version=2,
        name=network.name,
        classes=network.classes,
        background=network.background,
        alarms=network.alarms,
        input=network.input,
        hop_s=HOP_TICKS * network.input.tick_s,
        temperature=1.0,
        methods=network.methods,
        events=dict.fromkeys(network.alarms, EVENTS),
        calibration=None,
        provenance=network.provenance | {"exported_with": f"stan-edge {version('stan-edge')}"},
    )
    seal(folder, contract)
    if network.forms == FORMS:
        contract = _in_fastest_forms(open_bundle(folder), console)
        seal(folder, contract)
    if source is None:
        console.print("no calibration windows: importance will be relative within each window", style="yellow")
    elif isinstance(source, Bundle):
        seal(folder, _calibrated_before(contract, source.contract))
        console.print(f"calibration: as in {source.folder}", markup=False)
    else:
        seal(folder, _calibrated(open_bundle(folder), source, console))
    _prove(open_bundle(folder), console)


def _in_fastest_forms(bundle: Bundle, console: Console) -> Contract:
    times = measure_forms(bundle)
    figures = {
        engine: ", ".join(f"{form} {spent_ms:.0f} ms" for form, spent_ms in by_form.items())
        for engine, by_form in times.items()
    }
    for engine, figure in figures.items():
        console.print(f"{engine}: {figure}", highlight=False, markup=False)
    forms = {engine: min(by_form, key=by_form.__getitem__) for engine, by_form in times.items()}
    provenance = bundle.contract.provenance | {f"forms_{engine}": figure for engine, figure in figures.items()}
    return bundle.contract.model_copy(update={"forms": forms, "provenance": provenance})


def _calibrated(bundle: Bundle, windows: CalibrationWindows, console: Console) -> Contract:
    contract = bundle.contract
    backend = open_backend()
    methods, provenance = dict(contract.methods), dict(contract.provenance)
    for method in contract.methods:
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
    """A window of noise, and with calibration one real window for each of three classes, without it one of coarse
    blocks; the class explained is the window's own for some and another for others."""
    if isinstance(source, Bundle):
        with np.load(source.parity) as recorded:
            return recorded["frames"], recorded["class_index"]
    rng = np.random.default_rng(0)
    shape = (spec.frames, spec.size_px, spec.size_px, 3)
    frames = [rng.integers(0, 256, shape, np.uint8)]
    class_index = [PREDICTED]
    if source is None:
        frames.append(_blocks(rng, spec))
        class_index.append(classes - 1)
    else:
        for number, label in enumerate(np.unique(source.labels)[:3]):
            frames.append(source.frames[np.flatnonzero(source.labels == label)[0]])
            class_index.append(int(label) if number % 2 else PREDICTED)
    return np.stack(frames), np.array(class_index, np.int64)


def _blocks(rng: np.random.Generator, spec: InputSpec) -> NDArray[np.uint8]:
    """Squares of 16 pixels, another colour in every frame; unlike noise, early layers do not average them away."""
    cells = rng.integers(0, 256, (spec.frames, *(-(-spec.size_px // 16),) * 2, 3), np.uint8)
    return cells.repeat(16, 1).repeat(16, 2)[:, : spec.size_px, : spec.size_px]


def _prove(bundle: Bundle, console: Console) -> None:
    for name in BACKENDS:
        try:
            backend = open_backend(name)
        except BackendUnavailableError as error:
            console.print(f"not checked: {error}", style="dim", highlight=False, markup=False)
            continue
        for method in bundle.contract.methods:
            row = replay(bundle, backend, Explainer(bundle, backend, method))
            errors = f"frame scores {row.scores_error:.1e}, maps {row.map_error:.1e}, logits {row.logits_error:.1e}"
            figures = f"{name} {method}: {errors}"
            if not row.passed:
                raise ParityError(f"{figures} exceed {row.tolerance:.0e}; the bundle was not written.")
            console.print(f"{figures} of float64", highlight=False, markup=False)
