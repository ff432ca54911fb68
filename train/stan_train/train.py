"""What `stan-edge train` does: from manifests to a checkpoint and the windows to calibrate it with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_train.augment import AugmentConfig
from stan_train.batches import TrainingSet
from stan_train.cache import CachedClip
from stan_train.calibration_windows import save_calibration
from stan_train.checkpoint import Checkpoint, load_pretrained, save_checkpoint
from stan_train.fit import fit
from stan_train.manifest import BACKGROUND
from stan_train.model import Stan, variant
from stan_train.options import DataOptions, FitConfig, MachineOptions, ModelOptions
from stan_train.preparation import prepare, prepared_by_first
from stan_train.provenance import description_of, figures_of, limits_of
from stan_train.sampling import (
    Windows,
    candidate_windows,
    require_every_class,
    sampling_weights,
    thinned,
)
from stan_train.validation import evaluate_windows

VAL_WINDOWS = 3
"""Validation windows of each clip and label."""


def train(
    out: Path,
    data: DataOptions,
    model: ModelOptions,
    fit_config: FitConfig,
    augment: AugmentConfig,
    machine: MachineOptions,
) -> None:
    """Train; `out` receives `checkpoint.safetensors`, `calibration.npz`, `metrics.csv`, `curves.png`, `tensorboard/`,
    `options.json` and the manifests `train.csv`, `val.csv` and, with folds, `test.csv`.

    Raises:
        ConfigError: an option or the data do not fit.
        CheckpointError: `--init` does not fit the model, or the folder holds another run.
    """
    # what the options alone show to be wrong is refused before anything is rendered or decoded
    spec = model.spec()
    fit_config.micros_each(machine.devices * machine.nodes)
    _network(model, 2, fit_config.seed)
    fabric = _fabric(machine)
    leads = fabric.global_rank == 0
    console = Console(quiet=not leads)
    prepared = prepared_by_first(fabric, lambda: prepare(out, data, model, fit_config, augment, machine, console))
    if prepared is None:
        return
    classes = prepared.classes
    network = _network(model, len(classes), fit_config.seed)
    if fit_config.whole_clips:
        spec = spec.model_copy(update={"window_s": _median_duration_s(prepared.training)})
    training = _training_set(prepared.training, classes, spec, model.background_share, fit_config)
    validation = _training_set(prepared.validation, classes, spec, model.background_share, fit_config, most=VAL_WINDOWS)
    if not len(validation.windows):
        raise ConfigError("The clips held out for validation show nothing that is known; hold out others with --val.")
    console.print(
        f"classes: {', '.join(classes)}; {len(training.windows)} windows, {len(validation.windows)} to validate"
    )
    fit(fabric, network, training, validation, spec, fit_config, augment, out, console, machine.workers)
    if not leads:
        return
    alone = Fabric(accelerator="cpu", devices=1)
    _, confusion = evaluate_windows(
        alone, network, validation, spec, spec.frames, fit_config.micro_batch, whole_clips=fit_config.whole_clips
    )
    figures = figures_of(confusion, classes)
    save_calibration(out / "calibration.npz", training, spec, fit_config)
    learnt = [cached.clip for cached in prepared.training]
    save_checkpoint(
        out / "checkpoint.safetensors",
        Checkpoint(
            model=network,
            name=model.model,
            classes=classes,
            background=BACKGROUND if BACKGROUND in classes else None,
            alarms=tuple(name for name in classes if name != BACKGROUND),
            input=spec,
            provenance={
                "trained_with": f"stan-edge {version('stan-edge')}, seed {fit_config.seed}"
                + (f", started from {model.init.name}" if model.init else ""),
                "data": description_of(learnt),
                "limits": limits_of(learnt),
                "validation": f"{confusion.sum()} windows of {len(prepared.validation)} other clips: {figures}",
            },
        ),
    )
    console.print(figures)
    written = out / "checkpoint.safetensors"
    console.print(f"wrote {written}; next: stan-edge export {written} -o BUNDLE", markup=False)


def _fabric(machine: MachineOptions) -> Fabric:
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and machine.devices > torch.cuda.device_count():
        raise ConfigError(
            f"--devices {machine.devices}: this machine has {torch.cuda.device_count()} GPUs; ask for them."
        )
    precision = machine.precision
    if precision == "auto":
        # measured: bf16 on a processor is no faster here, and on a GPU it needs hardware for it
        precision = "bf16-mixed" if accelerator == "cuda" and torch.cuda.is_bf16_supported() else "32-true"
    many = machine.devices * machine.nodes > 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy="ddp" if many else "auto",
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _network(model: ModelOptions, classes: int, seed: int) -> Stan:
    torch.manual_seed(seed)
    network = Stan(variant(model.model, classes))
    if model.init:
        load_pretrained(network, model.init)
    return network


def _training_set(
    clips: Sequence[CachedClip],
    classes: tuple[str, ...],
    spec: InputSpec,
    share: float,
    config: FitConfig,
    most: int | None = None,
) -> TrainingSet:
    if config.whole_clips:
        labels = np.array([classes.index(c.clip.label) for c in clips], np.int64)
        windows = Windows(np.arange(len(clips)), np.zeros(len(clips)), labels)
    else:
        windows = candidate_windows(clips, classes, spec)
        if most is not None:
            windows = thinned(windows, most)
    if most is None:
        require_every_class(windows, classes, spec)
    background = classes.index(BACKGROUND) if BACKGROUND in classes else -1
    return TrainingSet(clips, windows, sampling_weights(windows, clips, background, share), classes)


def _median_duration_s(clips: Sequence[CachedClip]) -> float:
    return float(np.median([cached.clip.duration_s for cached in clips]))
