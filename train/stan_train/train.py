"""What `stan-edge train` does: from manifests to a checkpoint and the windows to calibrate it with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console

from stan_edge.errors import CheckpointError, ConfigError, StanEdgeError
from stan_edge.model.contract import InputSpec, RegionKind, View
from stan_train.augment import AugmentConfig
from stan_train.batches import TrainingSet, validation_windows
from stan_train.cache import CachedClip, build_cache
from stan_train.checkpoint import Checkpoint, load_pretrained, save_checkpoint
from stan_train.fit import FitConfig, fit
from stan_train.manifest import BACKGROUND, Clip
from stan_train.model import Stan, variant
from stan_train.progress import progress_bar
from stan_train.provenance import description_of, figures_of, limits_of
from stan_train.run_state import STATE
from stan_train.sampling import (
    Windows,
    candidate_windows,
    require_every_class,
    sampling_weights,
    segment_index,
    thinned,
    window_index,
)
from stan_train.splits import DataOptions, Parts, split, synthetic_parts
from stan_train.synthetic import ACTIVITIES
from stan_train.validation import evaluate_windows

CALIBRATION_WINDOWS = 60
FRAMES = 20
MIN_WINDOW_S = 0.1
VAL_WINDOWS = 3
"""Validation windows of each clip and label."""
MAP_CELL_PX = 16
"""Score maps have cells of this size."""


@dataclass(frozen=True)
class ModelOptions:
    """What is trained."""

    model: str
    init: Path | None
    size_px: int | None
    window_s: float
    view: View
    region: RegionKind
    background_share: float
    """Share of background windows in training."""

    def spec(self) -> InputSpec:
        """How a window becomes the network's input.

        Raises:
            ConfigError: the size or the window does not fit.
        """
        size_px = self.size_px or (112 if self.model == "stan-t" else 224)
        if size_px < 32 or size_px % MAP_CELL_PX:
            raise ConfigError(f"--size {size_px} must be a multiple of {MAP_CELL_PX} from 32 on; try 112.")
        if not MIN_WINDOW_S <= self.window_s < math.inf:
            raise ConfigError(f"--window {self.window_s:g} must be at least {MIN_WINDOW_S} seconds; try 2.")
        return InputSpec(
            frames=FRAMES,
            window_s=self.window_s,
            size_px=size_px,
            view=self.view,
            framing="follow",
            region=self.region,
            mean=0.45,
            std=0.225,
        )


@dataclass(frozen=True)
class MachineOptions:
    """Where it is trained; changes nothing but speed."""

    workers: int
    """Processes that decode, render and augment."""
    devices: int
    nodes: int
    precision: str
    cache: Path | None


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
    prepared = _prepared_by_first(fabric, lambda: _prepare(out, data, model, fit_config, augment, machine, console))
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


@dataclass(frozen=True)
class _Prepared:
    """What is learnt from."""

    classes: tuple[str, ...]
    training: list[CachedClip]
    validation: list[CachedClip]


def _prepare(
    out: Path,
    data: DataOptions,
    model: ModelOptions,
    fit_config: FitConfig,
    augment: AugmentConfig,
    machine: MachineOptions,
    console: Console,
) -> _Prepared:
    """Choose the clips, rendering them where there are none, and decode them."""
    _claim_folder(out, asdict(data) | asdict(model) | asdict(fit_config) | asdict(augment))
    if data.data or data.also:
        parts = split(data, fit_config.seed)
    else:
        parts = synthetic_parts(out / "drawn", data, fit_config.seed, machine.workers, console)
    classes = _classes(parts)
    if (out / STATE).is_file():
        parts.require_same(out)
    parts.write(out)
    folder = machine.cache or out / "cache"
    return _Prepared(
        classes,
        _cached(parts.train, folder, machine.workers, "training", console),
        _cached(parts.val, folder, machine.workers, "validation", console),
    )


def _prepared_by_first(fabric: Fabric, prepare: Callable[[], _Prepared]) -> _Prepared | None:
    """What the first process prepares, in every process; None in the others when it could not, which it alone says."""
    found, failure = None, None
    with fabric.rank_zero_first():  # the others wait here, however long it takes
        if fabric.global_rank == 0:
            try:
                found = prepare()
            except StanEdgeError as error:
                failure = error
    found = fabric.broadcast(found)
    if failure is not None:
        raise failure
    return found


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


def _classes(parts: Parts) -> tuple[str, ...]:
    """Background first, then the names of the synthetic activities in their order, then the rest by name."""
    order = {name: number for number, name in enumerate(ACTIVITIES)}
    classes = tuple(sorted({clip.label for clip in parts.train}, key=lambda name: (order.get(name, len(order)), name)))
    if len(classes) < 2:
        raise ConfigError(f"The clips show {', '.join(classes) or 'nothing'} only; there is nothing to tell apart.")
    unseen = sorted({clip.label for clip in parts.val} - set(classes))
    if unseen:
        raise ConfigError(
            f"The clips held out for validation show {unseen[0]!r}, which no training clip shows; "
            "add clips of it to --data, or leave it out of --val."
        )
    return classes


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


def _claim_folder(out: Path, options: dict[str, object]) -> None:
    """Note in the run folder what is trained there, and refuse to go on with anything else once it has begun.

    Raises:
        CheckpointError: the folder holds a run with other options.
    """
    wanted = json.dumps(options, default=str, indent=2) + "\n"
    note = out / "options.json"
    if (out / STATE).is_file() and note.is_file() and note.read_text(encoding="utf-8") != wanted:
        raise CheckpointError(f"{out} holds a run with other options (options.json); choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(wanted, encoding="utf-8")


def save_calibration(path: Path, training: TrainingSet, spec: InputSpec, config: FitConfig) -> None:
    """Windows from the training clips, as the network sees them (of several passes, the first), with which `export`
    records parity and gives frame scores a first scale; `stan-edge calibrate` gives them their own."""
    rng = np.random.default_rng(config.seed)
    windows = training.windows
    chosen = rng.choice(len(windows), CALIBRATION_WINDOWS, p=training.weights)
    index = [
        segment_index(training.clips[windows.clip[w]], spec.frames, None)
        if config.whole_clips
        else window_index(training.clips[windows.clip[w]], float(windows.start_s[w]), spec)
        for w in chosen
    ]
    pictures = [
        validation_windows(training, spec, int(w), spec.frames, whole_clips=config.whole_clips)[0] for w in chosen
    ]
    np.savez_compressed(
        path,
        frames=np.stack(pictures),
        labels=windows.label[chosen],
        important=np.stack([training.clips[windows.clip[w]].important[i] for w, i in zip(chosen, index, strict=True)]),
    )


def _cached(clips: Sequence[Clip], folder: Path, workers: int, what: str, console: Console) -> list[CachedClip]:
    with progress_bar(f"decoding {len(clips)} {what} clips", console) as on_clip:
        cached, refused = build_cache(clips, folder, workers, on_clip)
    for refusal in refused:
        console.print(f"left out: {refusal.reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{what}: {len(cached)} clips" + (f", {len(refused)} left out" if refused else ""))
    if not cached:
        raise ConfigError(f"None of the {what} clips can be used; the reasons are above.")
    return cached
