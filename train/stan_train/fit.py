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
from stan_train.model import Stan
from stan_train.optimizer import learning_rate_factor, optimizer_for
from stan_train.options import FitConfig
from stan_train.progress import progress_bar
from stan_train.run_state import Run, draw_curves, log
from stan_train.validation import evaluate_windows, mean_recall, reduced, view_logits

BATCHNORM_MOMENTUM = 0.1


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
    optimizer = optimizer_for(model, config)
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
            lr = config.lr * learning_rate_factor((epoch + (step + 0.5) / stage.steps) / config.epochs, config)
            for group in optimizer.param_groups:
                group["lr"] = lr
            for turn in range(own):
                wait_started_s = time.monotonic()
                pictures, labels = next(batches)
                waited_s += time.monotonic() - wait_started_s
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
