"""What `stan-edge train` does: from manifests to a checkpoint and the windows to calibrate it with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console

from stan_edge.contract import InputSpec, RegionKind, View
from stan_edge.errors import CheckpointError, ConfigError
from stan_train.augment import AugmentConfig
from stan_train.batches import TrainingSet, validation_windows
from stan_train.cache import CachedClip, build_cache
from stan_train.checkpoint import Checkpoint, load_pretrained, save_checkpoint
from stan_train.fit import FitConfig, evaluate_windows, fit, mean_recall
from stan_train.folds import Fold, grouped_k_fold, leave_one_subject_out, ntu_cross_subject, split_validation
from stan_train.manifest import BACKGROUND, Clip, read_manifest, write_manifest
from stan_train.model import Stan, variant
from stan_train.progress import progress_bar
from stan_train.sampling import (
    Windows,
    candidate_windows,
    require_every_class,
    sampling_weights,
    segment_index,
    thinned,
    window_index,
)
from stan_train.synth import DATASET as DRAWN
from stan_train.synth import SynthOptions, synthesise
from stan_train.synthetic import ACTIVITIES

CALIBRATION_WINDOWS = 60
FRAMES = 20
VAL_WINDOWS = 3
"""Validation windows of each clip and label."""
VAL_SEED_OFFSET = 1_000_003
"""Drawn validation clips come from other seeds than training clips: other people, rooms and cameras."""


@dataclass(frozen=True)
class DataOptions:
    """Which clips are for what."""

    data: tuple[Path, ...]
    """Manifests that are split into training, validation and (with folds) test."""
    also: tuple[Path, ...]
    """Manifests that are only trained on."""
    val: tuple[Path, ...]
    """Manifests to validate on, instead of a part of the training groups."""
    folds: str
    """`none`, `subjects`, `ntu`, or a number of grouped folds."""
    fold: int
    """The fold to train, from 1."""
    val_share: float
    draw: int
    """Clips to draw when no manifest is given."""


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


@dataclass(frozen=True)
class MachineOptions:
    """Where it is trained; changes nothing but speed."""

    workers: int
    """Processes that decode, draw and augment."""
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
    fabric = _fabric(machine)
    leads = fabric.global_rank == 0
    console = Console(quiet=not leads)
    if leads:
        _claim_folder(out, asdict(data) | asdict(model) | asdict(fit_config) | asdict(augment))
    with fabric.rank_zero_first():  # the others find clips drawn and cached
        parts = _parts(out, data, fit_config.seed, machine.workers, console)
        classes = _classes(parts.train)
        network = _network(model, len(classes), fit_config.seed)  # weights that do not fit are refused before decoding
        cached = {
            name: _cached(clips, machine.cache or out / "cache", machine.workers, name, console)
            for name, clips in (("training", parts.train), ("validation", parts.val))
        }
    spec = InputSpec(
        frames=FRAMES,
        window_s=_median_duration_s(parts.train) if fit_config.whole_clips else model.window_s,
        size_px=model.size_px or (112 if model.model == "stan-t" else 224),
        view=model.view,
        framing="follow",
        region=model.region,
        mean=0.45,
        std=0.225,
    )
    training = _training_set(cached["training"], classes, spec, model.background_share, fit_config)
    validation = _training_set(
        cached["validation"], classes, spec, model.background_share, fit_config, most=VAL_WINDOWS
    )
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
    figures = _figures(confusion, classes)
    save_calibration(out / "calibration.npz", training, spec, fit_config)
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
                "data": _description(parts.train),
                "limits": _limits(parts.train),
                "validation": f"{confusion.sum()} windows of {len(parts.val)} other clips: {figures}",
            },
        ),
    )
    console.print(figures)
    written = out / "checkpoint.safetensors"
    console.print(f"wrote {written}; next: stan-edge export {written} -o BUNDLE", markup=False)


def _fabric(machine: MachineOptions) -> Fabric:
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
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


@dataclass(frozen=True)
class _Parts:
    train: tuple[Clip, ...]
    val: tuple[Clip, ...]


def _parts(out: Path, data: DataOptions, seed: int, workers: int, console: Console) -> _Parts:
    if not data.data and not data.also:
        drawn = {
            name: _drawn(out / "drawn" / name, clips, s, workers, console)
            for name, clips, s in (
                ("train", data.draw, seed),
                ("val", max(round(data.draw * data.val_share), len(ACTIVITIES)), seed + VAL_SEED_OFFSET),
            )
        }
        parts = _Parts(drawn["train"], drawn["val"])
        test: tuple[Clip, ...] = ()
    else:
        parts, test = _split(data, seed)
    for name, clips in (("train", parts.train), ("val", parts.val), ("test", test)):
        if clips:
            write_manifest(out / f"{name}.csv", clips)
    return parts


def _split(data: DataOptions, seed: int) -> tuple[_Parts, tuple[Clip, ...]]:
    own = [clip for path in data.data for clip in read_manifest(path)]
    also = [clip for path in data.also for clip in read_manifest(path)]
    val = tuple(clip for path in data.val for clip in read_manifest(path))
    test: tuple[Clip, ...] = ()
    if data.folds != "none":
        fold = _fold(own, data, seed)
        own, test = [own[i] for i in fold.train], tuple(own[i] for i in fold.test)
    if not val:
        pool = own or also
        inside, outside = split_validation(pool, data.val_share, seed)
        val = tuple(pool[i] for i in outside)
        kept = [pool[i] for i in inside]
        own, also = (kept, also) if own else ([], kept)
    shared = {clip.group for clip in (*own, *also)} & {clip.group for clip in (*val, *test)}
    if shared:
        raise ConfigError(
            f"Group {min(shared)!r} is both trained on and held out; take it out of one of the manifests."
        )
    return _Parts((*own, *also), val), test


def _fold(clips: Sequence[Clip], data: DataOptions, seed: int) -> Fold:
    if data.folds == "subjects":
        folds = leave_one_subject_out(clips)
    elif data.folds == "ntu":
        folds = ntu_cross_subject(clips)
    elif data.folds.isdecimal():
        folds = grouped_k_fold(clips, int(data.folds), seed)
    else:
        raise ConfigError(f"--folds {data.folds!r} is not none, subjects, ntu or a number of folds; choose one.")
    if not 1 <= data.fold <= len(folds):
        raise ConfigError(f"--fold {data.fold}: there are folds 1 to {len(folds)}.")
    return folds[data.fold - 1]


def _classes(clips: Sequence[Clip]) -> tuple[str, ...]:
    """Background first, then the names that drawn clips have in their order, then the rest by name."""
    order = {name: number for number, name in enumerate(ACTIVITIES)}
    classes = tuple(sorted({clip.label for clip in clips}, key=lambda name: (order.get(name, len(order)), name)))
    if len(classes) < 2:
        raise ConfigError(f"The clips show {', '.join(classes) or 'nothing'} only; there is nothing to tell apart.")
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
        if most is None:
            require_every_class(windows, classes, spec)
        else:
            windows = thinned(windows, most)
    background = classes.index(BACKGROUND) if BACKGROUND in classes else -1
    return TrainingSet(clips, windows, sampling_weights(windows, clips, background, share), classes)


def _median_duration_s(clips: Sequence[Clip]) -> float:
    return float(np.median([clip.duration_s for clip in clips]))


def _figures(confusion: NDArray[np.int64], classes: Sequence[str]) -> str:
    counts = confusion.sum(1)
    recalls = [f"{name} {confusion[c, c] / counts[c]:.2f}" for c, name in enumerate(classes) if counts[c]]
    accuracy = np.trace(confusion) / confusion.sum()
    return f"accuracy {accuracy:.3f}, mean recall {mean_recall(confusion):.3f} ({', '.join(recalls)})"


def _description(clips: Sequence[Clip]) -> str:
    counts = Counter((clip.dataset, clip.label) for clip in clips)
    return "; ".join(f"{dataset} {label} {count}" for (dataset, label), count in sorted(counts.items())) + " (clips)"


def _limits(clips: Sequence[Clip]) -> str:
    drawn = sorted({clip.label for clip in clips} - {clip.label for clip in clips if clip.dataset != DRAWN})
    people = len({(clip.dataset, clip.subject) for clip in clips if clip.dataset != DRAWN})
    if not drawn:
        return f"{people} people were filmed; others move and look otherwise"
    return f"{', '.join(drawn)}: learnt from drawn people only, never from a person; filmed people: {people}"


def _claim_folder(out: Path, options: dict[str, object]) -> None:
    """Note in the run folder what is trained there, and refuse to go on with anything else.

    Raises:
        CheckpointError: the folder holds a run with other options.
    """
    wanted = json.dumps(options, default=str, indent=2) + "\n"
    note = out / "options.json"
    if note.is_file() and note.read_text(encoding="utf-8") != wanted:
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


def _drawn(folder: Path, clips: int, seed: int, workers: int, console: Console) -> tuple[Clip, ...]:
    with progress_bar(f"drawing {clips} clips", console) as on_clip:
        manifest = synthesise(folder, SynthOptions(clips, seed), workers, on_clip)
    return read_manifest(manifest)


def _cached(clips: Sequence[Clip], folder: Path, workers: int, what: str, console: Console) -> list[CachedClip]:
    with progress_bar(f"decoding {len(clips)} {what} clips", console) as on_clip:
        cached, refused = build_cache(clips, folder, workers, on_clip)
    for refusal in refused:
        console.print(f"left out: {refusal.reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{what}: {len(cached)} clips" + (f", {len(refused)} left out" if refused else ""))
    return cached
