"""What `stan-edge train` does: draw clips, train, save a checkpoint and the windows to calibrate it with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stan_edge.contract import InputSpec
from stan_edge.errors import CheckpointError
from stan_train.augment import plain_window
from stan_train.checkpoint import Checkpoint, load_pretrained, save_checkpoint
from stan_train.fit import FitConfig, evaluate_windows, fit, mean_recall
from stan_train.model import Stan, variant
from stan_train.samples import Samples, generate_samples, whole_chunks
from stan_train.synthetic import ACTIVITIES

CALIBRATION_WINDOWS = 200
VAL_SHARE = 0.1
SHORT_SHARE = 0.4
"""Share of the epochs on short clips; see `FitConfig`."""
VAL_SEED_OFFSET = 1_000_003
"""Validation clips come from other seeds than training clips: other people, rooms and cameras."""


@dataclass(frozen=True)
class TrainOptions:
    """What the user may choose; see `stan-edge train --help`."""

    out: Path
    model: str
    init: Path | None
    clips: int
    epochs: int
    epoch_windows: int
    batch: int
    lr: float
    size_px: int | None
    workers: int
    seed: int


def train(options: TrainOptions) -> None:
    """Train on generated clips; writes `checkpoint.safetensors`, `calibration.npz`, `metrics.csv`, `curves.png`.

    Raises:
        ConfigError: an option does not fit.
        CheckpointError: `--init` does not fit the model, or the folder holds another run.
    """
    console = Console()
    config = FitConfig(
        epochs=options.epochs,
        epoch_windows=options.epoch_windows,
        batch=options.batch,
        lr=options.lr,
        short_epochs=round(options.epochs * SHORT_SHARE),
        seed=options.seed,
    )
    torch.manual_seed(options.seed)
    model = Stan(variant(options.model, len(ACTIVITIES)))
    if options.init:
        load_pretrained(model, options.init)
    _claim_folder(options)
    spec = InputSpec(
        frames=20,
        window_s=2.0,
        size_px=options.size_px or (112 if options.model == "stan-t" else 224),
        view="blend",
        framing="follow",
        region="box",
        mean=0.45,
        std=0.225,
    )
    clips, val_clips = whole_chunks(options.clips), whole_chunks(round(options.clips * VAL_SHARE))
    training = _generate(options, spec, console, "training", clips, options.seed)
    val = _generate(options, spec, console, "validation", val_clips, options.seed + VAL_SEED_OFFSET)
    fit(model, training, val, spec, config, options.out, console)
    _, predictions, labels = evaluate_windows(model, val, spec, spec.frames, torch.device("cpu"))
    recalls = {name: float((predictions[labels == c] == c).mean()) for c, name in enumerate(ACTIVITIES)}
    figures = f"accuracy {(predictions == labels).mean():.3f}, mean recall {mean_recall(predictions, labels):.3f}"
    by_class = ", ".join(f"{name} {recall:.2f}" for name, recall in recalls.items())
    save_calibration(options.out / "calibration.npz", training, spec, options.seed)
    save_checkpoint(
        options.out / "checkpoint.safetensors",
        Checkpoint(
            model=model,
            name=options.model,
            classes=ACTIVITIES,
            background="background",
            alarms=tuple(name for name in ACTIVITIES if name != "background"),
            input=spec,
            provenance={
                "trained_with": f"stan-edge {version('stan-edge')}, seed {options.seed}",
                "data": f"{clips} generated clips (drawn people; no video of a real person)",
                "validation": f"{len(labels)} windows of {val_clips} other generated clips: {figures} ({by_class})",
                "important": "falling: from loss of balance until the body rests, lying afterwards not included; "
                "others: from the start of the movement until it is undone",
            },
        ),
    )
    console.print(f"{figures}; recall: {by_class}")
    written = options.out / "checkpoint.safetensors"
    console.print(f"wrote {written}; next: stan-edge export {written} -o BUNDLE", markup=False)


def _claim_folder(options: TrainOptions) -> None:
    """Note in the run folder what is trained there, and refuse to go on with anything else.

    Raises:
        CheckpointError: the folder holds a run with other options.
    """
    fields = {name: value for name, value in asdict(options).items() if name not in ("out", "workers")}
    wanted = json.dumps(fields, default=str, indent=2) + "\n"
    note = options.out / "options.json"
    if note.is_file() and note.read_text(encoding="utf-8") != wanted:
        raise CheckpointError(f"{options.out} holds a run with other options (options.json); choose another --out.")
    options.out.mkdir(parents=True, exist_ok=True)
    note.write_text(wanted, encoding="utf-8")


def save_calibration(path: Path, chunks: list[Samples], spec: InputSpec, seed: int) -> None:
    """Windows from the training clips, as the network sees them, to calibrate frame scores with."""
    rng = np.random.default_rng(seed)
    where = [(chunk, i) for chunk in chunks for i in range(len(chunk))]
    chosen = [where[k] for k in rng.permutation(len(where))[:CALIBRATION_WINDOWS]]
    np.savez_compressed(
        path,
        frames=np.stack([plain_window(c.frames[i], c.boxes[i], spec) for c, i in chosen]),
        labels=np.array([c.labels[i] for c, i in chosen]),
        important=np.stack([c.important[i] for c, i in chosen]),
    )


def _generate(
    options: TrainOptions, spec: InputSpec, console: Console, what: str, clips: int, seed: int
) -> list[Samples]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console, transient=True) as bar:
        task = bar.add_task(f"drawing {clips} {what} clips", total=None)
        samples = generate_samples(
            options.out / "samples" / what,
            clips,
            seed,
            spec,
            options.workers,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"{what}: {sum(map(len, samples))} windows from {clips} clips")
    return samples
