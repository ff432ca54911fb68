"""The training loop on Lightning Fabric: one process or many, with the same losses; exact resume after a kill."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from rich.console import Console
from torch import Tensor, nn

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_train.augment import AugmentConfig
from stan_train.batches import MicroBatches, Number, TrainingSet, micro_batches
from stan_train.curves import draw_curves
from stan_train.model import Stan
from stan_train.progress import progress_bar
from stan_train.run_state import Run, log
from stan_train.validation import evaluate_windows, mean_recall, reduced, view_logits

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
    """Share of the epochs over which the learning rate rises."""
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
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"--lr {self.lr:g} must be above 0; try 5e-4.")

    @property
    def micros(self) -> int:
        """Micro-batches between two steps, over all processes."""
        return self.batch // self.micro_batch

    def micros_each(self, processes: int) -> int:
        """Micro-batches of one process between two steps.

        Raises:
            ConfigError: the processes cannot share a batch evenly.
        """
        if self.micros % processes:
            raise ConfigError(
                f"{self.micros} micro-batches cannot be shared by {processes} processes; "
                "choose --batch and --micro-batch so that they can."
            )
        return self.micros // processes


@dataclass(frozen=True)
class _Stage:
    """What an epoch is made of."""

    frames: int
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
        ConfigError: the processes cannot share a batch evenly, or training diverged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(_parameter_groups(model, config.weight_decay), lr=config.lr)
    wrapped, wrapped_optimizer = fabric.setup(model, optimizer)
    # after setup, which moves the parameters: the optimiser's state goes where they are
    run = Run.resumed(folder, model, optimizer, asdict(config) | asdict(augment))
    dataset = MicroBatches(
        train, spec, augment, size=config.micro_batch, seed=config.seed, whole_clips=config.whole_clips
    )
    first = len(run.history)
    numbers = [] if run.is_over(config.epochs, config.patience) else list(_numbers(config, spec.frames, first, fabric))
    batches = micro_batches(dataset, numbers, workers) if numbers else iter(())
    for epoch in range(first, config.epochs):
        if run.is_over(config.epochs, config.patience):
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
        if not math.isfinite(train_loss + val_loss):
            raise ConfigError("Training diverged, the loss is no longer a number; lower --lr and choose another --out.")
        row = {
            "epoch": epoch + 1,
            "frames": stage.frames,
            "lr": lr,
            "train_loss": train_loss,
            "val_loss": val_loss,
            "val_accuracy": float(np.trace(confusion) / confusion.sum()),
            "val_recall_mean": mean_recall(confusion),
            "windows_per_s": stage.steps * config.batch / trained_s,
            "data_wait_share": waited_s / trained_s,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,  # Linux counts KiB
            "elapsed_s": run.elapsed_s + time.monotonic() - started_s,
        }
        run.add(row, model, whole=stage.frames == spec.frames)
        if fabric.global_rank == 0:
            run.save(folder, model, optimizer)
            log(folder, row)
            draw_curves(run.history, folder)
        fabric.barrier()
        console.print(
            f"epoch {epoch + 1}/{config.epochs}: loss {train_loss:.3f}, validation loss {val_loss:.3f}, "
            f"accuracy {row['val_accuracy']:.3f}, mean recall {row['val_recall_mean']:.3f}, {run.elapsed_s:.0f} s"
        )
    if run.best is not None:
        model.load_state_dict(run.best)
    model.cpu().eval()


def _stage(config: FitConfig, epoch: int, frames: int) -> _Stage:
    if epoch >= config.short_epochs:
        return _Stage(frames, max(config.epoch_windows // config.batch, 1))
    windows = config.epoch_windows * frames // config.short_frames
    return _Stage(config.short_frames, max(windows // config.batch, 1))


def _numbers(config: FitConfig, frames: int, first_epoch: int, fabric: Fabric) -> Iterator[Number]:
    """What this process trains on: every world-size-th micro-batch."""
    for epoch in range(first_epoch, config.epochs):
        stage = _stage(config, epoch, frames)
        for micro in range(fabric.global_rank, stage.steps * config.micros, fabric.world_size):
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
    own = config.micros_each(fabric.world_size)
    total = torch.zeros((), device=fabric.device)
    waited_s, lr = 0.0, 0.0
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}, {stage.frames} frames", console) as on_step:
        for step in range(stage.steps):
            lr = config.lr * _schedule((epoch + (step + 0.5) / stage.steps) / config.epochs, config)
            for group in optimizer.param_groups:
                group["lr"] = lr
            for turn in range(own):
                asked_s = time.monotonic()
                pictures, labels = next(batches)
                waited_s += time.monotonic() - asked_s
                # drop path differs between micro-batches, not between numbers of processes
                micro = (step * own + turn) * fabric.world_size + fabric.global_rank
                torch.manual_seed(int(np.random.SeedSequence((config.seed, epoch, micro)).generate_state(1)[0]))
                _track_statistics(model, enabled=micro % config.micros == 0)
                with fabric.no_backward_sync(model, enabled=turn + 1 < own):
                    logits = view_logits(model, pictures.to(fabric.device), spec, train=True)
                    targets = labels.to(fabric.device).repeat_interleave(len(logits) // len(labels))
                    loss = F.cross_entropy(logits, targets, label_smoothing=config.label_smoothing)
                    fabric.backward(loss / own)
                total += loss.detach()
            # what is not finite shows in the loss at the end of the epoch; to look here would wait for the GPU
            fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad()
            on_step(step + 1, stage.steps)
    mean = reduced(fabric, total / (stage.steps * own), "mean")
    return mean.item(), lr, waited_s


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


def _schedule(progress: float, config: FitConfig) -> float:
    """Learning rate factor at a share of all epochs: linear warm-up, then half a cosine."""
    if progress < config.warmup:
        return progress / config.warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """No decay on norms and biases."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
