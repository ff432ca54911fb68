"""The training loop on Lightning Fabric: one process or many, with the same losses; exact resume after a kill."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from stan_edge.contract import InputSpec
from stan_edge.errors import CheckpointError, ConfigError
from stan_train.augment import AugmentConfig
from stan_train.batches import MicroBatches, Number, TrainingSet, micro_batches, validation_windows
from stan_train.curves import draw_curves
from stan_train.model import Stan
from stan_train.progress import progress_bar

_STATE = "last.pt"
BATCHNORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class FitConfig:
    """How to train; lr is for the batch given here."""

    epochs: int = 25
    epoch_windows: int = 2000
    """Windows in an epoch of whole windows; one of short clips holds as many frames."""
    batch: int = 64
    """Windows between two steps of the optimiser."""
    micro_batch: int = 16
    """Windows in one pass; batch norm sees this many, whatever the number of processes."""
    lr: float = 5e-4
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    short_epochs: int = 0
    """First epochs on `short_frames` of each window. The network has no position table and takes any length; most
    of what there is to learn is in single pictures, which cost a fifth: from scratch, 10,000 whole windows had
    taught it falls but not one gesture."""
    short_frames: int = 4
    patience: int = 8
    """Epochs of whole windows without a better validation loss after which training stops."""
    label_smoothing: float = 0.05
    clip_norm: float = 5.0
    whole_clips: bool = False
    """Sample each clip whole in equal segments (the paper), instead of windows of a fixed time."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.short_epochs <= self.epochs:
            raise ConfigError(f"short_epochs {self.short_epochs} must lie between 0 and epochs {self.epochs}.")
        if self.batch % self.micro_batch:
            raise ConfigError(f"--batch {self.batch} must be a multiple of --micro-batch {self.micro_batch}.")


@dataclass(frozen=True)
class _Stage:
    """What an epoch is made of."""

    frames: int
    micro_batch: int
    micros: int
    """Micro-batches between two steps, over all processes."""
    steps: int


def fit(
    fabric: Fabric,
    model: Stan,
    train: TrainingSet,
    val: TrainingSet,
    spec: InputSpec,
    config: FitConfig,
    augment: AugmentConfig,
    folder: Path,
    console: Console,
    workers: int,
) -> None:
    """Train `model` in place; it ends with the weights of the epoch with the lowest validation loss.

    `folder` receives `metrics.csv`, `curves.png`, `tensorboard/` and the state to resume from. A run killed at any
    point continues at its last finished epoch and ends with the same weights.

    Raises:
        CheckpointError: the folder holds the state of a run with another configuration.
        ConfigError: the processes cannot share a batch evenly.
    """
    if (config.batch // config.micro_batch) % fabric.world_size:
        raise ConfigError(
            f"{config.batch // config.micro_batch} micro-batches cannot be shared by {fabric.world_size} processes; "
            "choose --batch and --micro-batch so that they can."
        )
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(_parameter_groups(model, config.weight_decay), lr=config.lr)
    run = _Run.resumed(folder, model, optimizer, asdict(config) | asdict(augment))
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    dataset = MicroBatches(
        train, spec, augment, size=config.micro_batch, seed=config.seed, whole_clips=config.whole_clips
    )
    first = len(run.history)
    numbers = [] if run.is_over(config) else list(_numbers(config, spec.frames, first, fabric))
    batches = micro_batches(dataset, numbers, workers) if numbers else iter(())
    for epoch in range(first, config.epochs):
        if run.is_over(config):
            break
        stage = _stage(config, epoch, spec.frames)
        started_s = time.monotonic()
        train_loss, lr, waited_s = _train_epoch(
            fabric, wrapped, wrapped_optimizer, batches, spec, config, epoch, stage, console
        )
        trained_s = time.monotonic() - started_s
        _share_statistics(fabric, model)
        val_loss, confusion = evaluate_windows(
            fabric, model, val, spec, stage.frames, config.micro_batch, whole_clips=config.whole_clips
        )
        row = {
            "epoch": epoch + 1,
            "frames": stage.frames,
            "lr": lr,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "val_accuracy": float(np.trace(confusion) / confusion.sum()),
            "val_recall_mean": mean_recall(confusion),
            "windows_per_s": stage.steps * config.batch * _width(stage, config) / trained_s,
            "data_wait_share": waited_s / trained_s,
            "peak_rss_mb": psutil.Process().memory_info().rss / 1e6,
            "elapsed_s": run.elapsed_s + time.monotonic() - started_s,
        }
        run.add(row, model, whole=stage.frames == spec.frames)
        if fabric.global_rank == 0:
            run.save(folder, model, optimizer)
            _log(folder, row)
            draw_curves(run.history, folder)
        fabric.barrier()
        console.print(
            f"epoch {epoch + 1}/{config.epochs}: loss {train_loss:.3f}, validation loss {val_loss:.3f}, "
            f"accuracy {row['val_accuracy']:.3f}, mean recall {row['val_recall_mean']:.3f}, {run.elapsed_s:.0f} s"
        )
    if run.best is not None:
        model.load_state_dict(run.best)
    model.cpu().eval()


def _width(stage: _Stage, config: FitConfig) -> float:
    return stage.micro_batch * stage.micros / config.batch


def _stage(config: FitConfig, epoch: int, frames: int) -> _Stage:
    micros = config.batch // config.micro_batch
    if epoch >= config.short_epochs:
        return _Stage(frames, config.micro_batch, micros, max(config.epoch_windows // config.batch, 1))
    windows = config.epoch_windows * frames // config.short_frames
    return _Stage(config.short_frames, config.micro_batch, micros, max(windows // config.batch, 1))


def _numbers(config: FitConfig, frames: int, first_epoch: int, fabric: Fabric) -> Iterator[Number]:
    """What this process trains on: every world-size-th micro-batch."""
    for epoch in range(first_epoch, config.epochs):
        stage = _stage(config, epoch, frames)
        for micro in range(fabric.global_rank, stage.steps * stage.micros, fabric.world_size):
            yield epoch, micro, stage.frames


def _train_epoch(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    batches: Iterator[tuple[Tensor, Tensor]],
    spec: InputSpec,
    config: FitConfig,
    epoch: int,
    stage: _Stage,
    console: Console,
) -> tuple[float, float, float]:
    """Mean loss, last learning rate, and seconds spent waiting for data."""
    model.train()
    own = stage.micros // fabric.world_size
    total, waited_s, lr = 0.0, 0.0, 0.0
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}, {stage.frames} frames", console) as on_step:
        for step in range(stage.steps):
            lr = config.lr * _schedule((epoch + step / stage.steps) / config.epochs, config)
            for group in optimizer.param_groups:
                group["lr"] = lr
            for turn in range(own):
                asked_s = time.monotonic()
                pictures, labels = next(batches)
                waited_s += time.monotonic() - asked_s
                # drop path differs between micro-batches, not between numbers of processes
                micro = (step * own + turn) * fabric.world_size + fabric.global_rank
                torch.manual_seed(int(np.random.SeedSequence((config.seed, epoch, micro)).generate_state(1)[0]))
                _track_statistics(model, enabled=micro % stage.micros == 0)
                with fabric.no_backward_sync(model, enabled=turn + 1 < own):
                    logits = view_logits(model, pictures.to(fabric.device), spec, train=True)
                    targets = labels.to(fabric.device).repeat_interleave(len(logits) // len(labels))
                    loss = F.cross_entropy(logits, targets, label_smoothing=config.label_smoothing)
                    fabric.backward(loss / own)
                total += loss.item()
            fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            on_step(step + 1, stage.steps)
    mean = _reduced(fabric, torch.tensor(total / (stage.steps * own)), "mean")
    return mean.item(), lr, waited_s


def view_logits(model: Any, pictures: Tensor, spec: InputSpec, *, train: bool) -> Tensor:
    """Logits of windows uint8 `[B, P, T, S, S, 3]`: `[B, C]`, the mean over the passes of the view; in training,
    `union` makes each pass a sample of its own, `[B * P, C]`."""
    passes = pictures.shape[1]
    logits = model(normalize(pictures.flatten(0, 1), spec))
    if passes == 1 or (train and spec.view == "union"):
        return logits
    return logits.unflatten(0, (-1, passes)).mean(1)


def normalize(clips: Tensor, spec: InputSpec) -> Tensor:
    """uint8 `[B, T, H, W, 3]` -> float32 `[B, 3, T, H, W]`, `(x / 255 - mean) / std`."""
    return ((clips.float() / 255 - spec.mean) / spec.std).permute(0, 4, 1, 2, 3)


@torch.no_grad()
def evaluate_windows(
    fabric: Fabric,
    model: Stan,
    data: TrainingSet,
    spec: InputSpec,
    frames: int,
    batch: int,
    *,
    whole_clips: bool,
) -> tuple[float, NDArray[np.int64]]:
    """Mean cross-entropy and confusion matrix `[C, C]` (rows: truth) over all windows, without augmentation; the
    processes share the work."""
    model.eval()
    classes = len(data.classes)
    sums = torch.zeros(classes * classes + 1, dtype=torch.float64)
    mine = range(fabric.global_rank, len(data.windows), fabric.world_size)
    for start in range(0, len(mine), batch):
        part = list(mine[start : start + batch])
        pictures = np.stack([validation_windows(data, spec, w, frames, whole_clips=whole_clips) for w in part])
        logits = view_logits(model, torch.from_numpy(pictures).to(fabric.device), spec, train=False).cpu().float()
        labels = torch.from_numpy(data.windows.label[part])
        sums[-1] += F.cross_entropy(logits, labels, reduction="sum").item()
        sums[:-1] += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
    sums = _reduced(fabric, sums, "sum")
    confusion = sums[:-1].reshape(classes, classes).to(torch.int64).numpy()
    return float(sums[-1] / confusion.sum()), confusion


def mean_recall(confusion: NDArray[np.int64]) -> float:
    """Recall averaged over the classes present; `[C, C]`, rows are the truth."""
    counts = confusion.sum(1)
    present = counts > 0
    return float((np.diag(confusion)[present] / counts[present]).mean())


def _track_statistics(model: nn.Module, *, enabled: bool) -> None:
    """Batch norm's running means follow the first micro-batch of each step only, so that they, too, do not depend on
    how many processes share a step."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = BATCHNORM_MOMENTUM if enabled else 0.0


def _share_statistics(fabric: Fabric, model: nn.Module) -> None:
    """Give all processes the running means of the first, which has seen every first micro-batch."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            buffer.copy_(fabric.broadcast(buffer))


def _reduced(fabric: Fabric, values: Tensor, how: str) -> Tensor:
    """Sum or mean over the processes, on the processor."""
    return cast(Tensor, fabric.all_reduce(values.to(fabric.device), reduce_op=how)).cpu()


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


@dataclass
class _Run:
    """What lasts beyond a kill besides weights and optimiser."""

    settings: dict[str, Any]
    history: list[dict[str, float]]
    best: dict[str, Tensor] | None
    best_epoch: int
    """Number of epochs done when `best` was reached."""

    @classmethod
    def resumed(cls, folder: Path, model: Stan, optimizer: torch.optim.Optimizer, settings: dict[str, Any]) -> _Run:
        """Load what a killed run left into model and optimiser; an empty history for a new run."""
        path = folder / _STATE
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        if not path.is_file():
            return cls(settings, [], None, 0)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise CheckpointError(
                f"{path} belongs to a run with other settings; choose another --out or delete {folder}."
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return cls(settings, state["history"], state["best"], state["best_epoch"])

    @property
    def elapsed_s(self) -> float:
        return self.history[-1]["elapsed_s"] if self.history else 0.0

    def is_over(self, config: FitConfig) -> bool:
        """All epochs are done, or validation has not improved for too long."""
        done = len(self.history)
        return done >= config.epochs or (self.best is not None and done - self.best_epoch >= config.patience)

    def add(self, row: dict[str, float], model: Stan, *, whole: bool) -> None:
        """Note an epoch; its weights when it is the best of those on whole windows."""
        losses = [past["val_loss"] for past in self.history if past["frames"] == row["frames"]]
        self.history.append(row)
        if whole and all(row["val_loss"] < loss for loss in losses):
            self.best = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
            self.best_epoch = len(self.history)

    def save(self, folder: Path, model: Stan, optimizer: torch.optim.Optimizer) -> None:
        """Write state and metrics atomically."""
        state = {
            "settings": self.settings,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        part = folder / f"{_STATE}.part"
        torch.save(state, part)
        part.replace(folder / _STATE)
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.history[0]))
            writer.writeheader()
            writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.history)


def _log(folder: Path, row: dict[str, float]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(row["epoch"])
    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch) as writer:
        for key, value in row.items():
            if key != "epoch":
                writer.add_scalar(key, value, epoch)
