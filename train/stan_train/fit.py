"""The training loop: AdamW, cosine with warm-up, short clips first, exact resume at epoch boundaries."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from stan_edge.contract import InputSpec
from stan_edge.errors import CheckpointError, ConfigError
from stan_train.augment import augment_window, plain_window
from stan_train.model import Stan
from stan_train.samples import Samples


@dataclass(frozen=True)
class FitConfig:
    """How to train; lr is for the batch given here."""

    epochs: int = 8
    epoch_windows: int = 2000
    """Windows in an epoch of whole windows; one of short clips holds as many frames."""
    batch: int = 16
    lr: float = 8e-4
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    short_epochs: int = 3
    """First epochs on `short_frames` of each window. The network has no position table and takes any length; most
    of what there is to learn is in single pictures, which cost a fifth: from scratch, 10,000 whole windows had
    taught it falls but not one gesture."""
    short_frames: int = 4
    background: float = 0.3
    """Share of background windows; the other classes share the rest evenly."""
    label_smoothing: float = 0.05
    clip_norm: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.short_epochs <= self.epochs:
            raise ConfigError(f"short_epochs {self.short_epochs} must lie between 0 and epochs {self.epochs}.")


_STATE = "last.pt"


def fit(
    model: Stan,
    train: list[Samples],
    val: list[Samples],
    spec: InputSpec,
    config: FitConfig,
    folder: Path,
    console: Console,
) -> None:
    """Train `model` in place; `folder` receives `metrics.csv`, `curves.png` and the state to resume from.

    A run killed at any point continues at its last finished epoch and ends with the same weights.

    Raises:
        CheckpointError: the folder holds the state of a run with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    optimizer = torch.optim.AdamW(_parameter_groups(model, config.weight_decay), lr=config.lr)
    history = _resume(folder, model, optimizer, config)
    elapsed_s = history[-1]["elapsed_s"] if history else 0.0
    for epoch in range(len(history), config.epochs):
        started_s = time.monotonic()
        stage = _stage(config, epoch, spec.frames)
        model.train()
        torch.manual_seed(config.seed * 100_003 + epoch)  # drop path
        losses = []
        with _progress(console) as bar:
            task = bar.add_task(f"epoch {epoch + 1}/{config.epochs}, {stage.frames} frames", total=stage.steps)
            for step, (clips, labels) in enumerate(_batches(train, spec, config, epoch, stage)):
                lr = config.lr * _schedule((epoch + step / stage.steps) / config.epochs, config)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                logits = model(normalize(clips.to(device), spec))
                loss = F.cross_entropy(logits, labels.to(device), label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
                optimizer.step()
                losses.append(loss.item())
                bar.update(task, advance=1)
        val_loss, predictions, labels_val = evaluate_windows(model, val, spec, stage.frames, device)
        elapsed_s += time.monotonic() - started_s
        row = {
            "epoch": epoch + 1,
            "frames": stage.frames,
            "lr": lr,
            "train_loss": float(np.mean(losses)),
            "val_loss": val_loss,
            "val_accuracy": float((predictions == labels_val).mean()),
            "val_recall_mean": mean_recall(predictions, labels_val),
            "elapsed_s": elapsed_s,
        }
        history.append(row)
        _save(folder, model, optimizer, config, history)
        draw_curves(history, folder)
        console.print(
            f"epoch {epoch + 1}/{config.epochs}: loss {row['train_loss']:.3f}, validation loss {val_loss:.3f}, "
            f"accuracy {row['val_accuracy']:.3f}, mean recall {row['val_recall_mean']:.3f}, {elapsed_s:.0f} s"
        )
    model.cpu().eval()


@dataclass(frozen=True)
class _Stage:
    """What an epoch is made of."""

    frames: int
    batch: int
    steps: int


def _stage(config: FitConfig, epoch: int, frames: int) -> _Stage:
    if epoch >= config.short_epochs:
        return _Stage(frames, config.batch, max(config.epoch_windows // config.batch, 1))
    windows, batch = config.epoch_windows * frames // config.short_frames, 2 * config.batch
    return _Stage(config.short_frames, batch, max(windows // batch, 1))


def normalize(clips: Tensor, spec: InputSpec) -> Tensor:
    """uint8 `[B, T, H, W, 3]` -> float32 `[B, 3, T, H, W]`, `(x / 255 - mean) / std`."""
    return ((clips.float() / 255 - spec.mean) / spec.std).permute(0, 4, 1, 2, 3)


@torch.no_grad()
def evaluate_windows(
    model: Stan, chunks: list[Samples], spec: InputSpec, frames: int, device: torch.device
) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """Mean cross-entropy, predictions and labels over all windows, `frames` of each, without augmentation."""
    picked = np.arange(frames) * spec.frames // frames + spec.frames // frames // 2  # centres of equal segments
    model.eval()
    losses, predictions = [], []
    for chunk in chunks:
        clips = np.stack(
            [plain_window(f[picked], b[picked], spec) for f, b in zip(chunk.frames, chunk.boxes, strict=True)]
        )
        logits = torch.cat(
            [model(normalize(part.to(device), spec)) for part in torch.split(torch.from_numpy(clips), 32)]
        )
        labels = torch.from_numpy(chunk.labels).to(device)
        losses.append(F.cross_entropy(logits, labels, reduction="sum").item())
        predictions.append(logits.argmax(1).cpu().numpy())
    labels_all = np.concatenate([chunk.labels for chunk in chunks])
    return sum(losses) / len(labels_all), np.concatenate(predictions), labels_all


def mean_recall(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Recall averaged over the classes present."""
    return float(np.mean([(predictions[labels == c] == c).mean() for c in np.unique(labels)]))


def _batches(
    chunks: list[Samples], spec: InputSpec, config: FitConfig, epoch: int, stage: _Stage
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches, a function of (seed, epoch) alone, so that a resumed run sees the same."""
    rng = np.random.default_rng((config.seed, epoch))
    where = np.concatenate([[(c, i) for i in range(len(chunk))] for c, chunk in enumerate(chunks)])
    labels = np.concatenate([chunk.labels for chunk in chunks])
    segment = spec.frames // stage.frames
    for _ in range(stage.steps):
        picked = rng.choice(len(labels), stage.batch, p=_class_balance(labels, config.background))
        clips = []
        for c, i in where[picked]:
            frames = np.arange(stage.frames) * segment + rng.integers(0, segment, stage.frames)  # one of each segment
            clips.append(augment_window(chunks[c].frames[i][frames], chunks[c].boxes[i][frames], spec, rng))
        yield torch.from_numpy(np.stack(clips)), torch.from_numpy(labels[picked])


def _class_balance(labels: NDArray[np.int64], background: float) -> NDArray[np.float64]:
    """Sampling probability of each window; class 0 is background."""
    counts = np.bincount(labels)
    shares = np.where(np.arange(len(counts)) == 0, background, (1 - background) / (len(counts) - 1))
    weights = (shares / np.maximum(counts, 1))[labels]
    return weights / weights.sum()


def _schedule(progress: float, config: FitConfig) -> float:
    """Learning rate factor: linear warm-up, then half a cosine."""
    if progress < config.warmup:
        return progress / config.warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """No decay on norms and biases."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def _save(
    folder: Path,
    model: Stan,
    optimizer: torch.optim.Optimizer,
    config: FitConfig,
    history: list[dict[str, float]],
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "config": asdict(config),
        "history": history,
    }
    part = folder / f"{_STATE}.part"
    torch.save(state, part)
    part.replace(folder / _STATE)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in history)


def _resume(folder: Path, model: Stan, optimizer: torch.optim.Optimizer, config: FitConfig) -> list[dict[str, float]]:
    """Load what a killed run left; its history, empty for a new run."""
    path = folder / _STATE
    if not path.is_file():
        return []
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != asdict(config):
        raise CheckpointError(f"{path} belongs to a run with other settings; choose another --out or delete {folder}.")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["history"]


def draw_curves(history: list[dict[str, float]], folder: Path) -> None:
    """Plot losses and accuracy by epoch as `curves.png`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    epochs = [row["epoch"] for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, keys in ((left, ("train_loss", "val_loss")), (right, ("val_accuracy", "val_recall_mean"))):
        for key in keys:
            axis.plot(epochs, [row[key] for row in history], marker=".", label=key.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(folder / "curves.png", dpi=120)
    plt.close(figure)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
