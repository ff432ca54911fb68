"""What a training run is asked to do: data, model and machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec, RegionKind, View


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which clips are for what."""

    data: tuple[Path, ...] = ()
    """Manifests that are split into training, validation and (with folds) test."""
    also: tuple[Path, ...] = ()
    """Manifests that are only trained on."""
    val: tuple[Path, ...] = ()
    """Manifests to validate on, instead of a part of the training groups."""
    folds: str = "none"
    """`none`, `subjects`, `ntu`, or a number of grouped folds."""
    fold: int = 1
    """The fold to train, from 1."""
    val_share: float
    draw: int
    """Synthetic clips to render when no manifest is given."""

    def __post_init__(self) -> None:
        if (self.val or self.folds != "none") and not (self.data or self.also):
            raise ConfigError(
                f"{'--val' if self.val else '--folds'} is about clips of your own; name their manifest with --data."
            )
        if not 0 < self.val_share <= 0.5:
            raise ConfigError(f"--val-share {self.val_share:g} must lie above 0 and up to 0.5; try 0.1.")


FRAMES = 20
MIN_WINDOW_S = 0.1
MAP_CELL_PX = 16
"""Score maps have cells of this size."""


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Where it is trained; changes nothing but speed."""

    workers: int = 2
    """Processes that decode, render and augment."""
    devices: int = 1
    nodes: int = 1
    precision: str = "auto"
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
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
