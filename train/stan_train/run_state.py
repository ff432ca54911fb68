"""What of a training run lasts beyond a kill: the state to resume from, `metrics.csv`, `curves.png`, `tensorboard/`."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stan_edge.errors import CheckpointError
from stan_edge.files import replacing
from stan_train.model import Stan

STATE = "last.pt"
_FORMAT = 2
"""Of the state; another one cannot be continued."""


@dataclass
class Run:
    """What lasts beyond a kill besides weights and optimiser."""

    settings: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    """Weights of the epoch with the lowest validation loss on whole windows."""
    best_loss: float = math.inf
    best_epoch: int = 0
    """Number of epochs done when `best` was reached."""

    @classmethod
    def resumed(cls, folder: Path, model: Stan, optimizer: torch.optim.Optimizer, settings: dict[str, Any]) -> Run:
        """Load what a killed run left into model and optimiser, which lie on their device; an empty history for a
        new run.

        Raises:
            CheckpointError: the folder holds a run with other settings.
        """
        path = folder / STATE
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        settings["format"] = _FORMAT
        if not path.is_file():
            return cls(settings)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise CheckpointError(
                f"{path} belongs to a run with other settings; choose another --out or delete {folder}."
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return cls(settings, state["history"], state["best"], state["best_loss"], state["best_epoch"])

    @property
    def elapsed_s(self) -> float:
        return self.history[-1]["elapsed_s"] if self.history else 0.0

    def is_over(self, epochs: int, patience: int) -> bool:
        """All epochs are done, or validation has not improved for too long."""
        done = len(self.history)
        return done >= epochs or (self.best is not None and done - self.best_epoch >= patience)

    def add(self, row: dict[str, float], model: Stan, *, whole: bool) -> None:
        """Note an epoch; its weights when it is the best of those on whole windows."""
        self.history.append(row)
        if whole and row["val_loss"] < self.best_loss:
            self.best_loss = row["val_loss"]
            self.best = {key: value.detach().cpu().clone() for key, value in model.state_dict().items()}
            self.best_epoch = len(self.history)

    def save(self, folder: Path, model: Stan, optimizer: torch.optim.Optimizer) -> None:
        """Write the state, atomically, and `metrics.csv`."""
        state = {
            "settings": self.settings,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": self.history,
            "best": self.best,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
        }
        with replacing(folder / STATE) as part:
            torch.save(state, part)
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.history[0]))
            writer.writeheader()
            writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in self.history)


def log(folder: Path, row: dict[str, float]) -> None:
    """Add an epoch to `tensorboard/`."""
    from torch.utils.tensorboard import SummaryWriter

    epoch = int(row["epoch"])
    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch) as writer:
        for key, value in row.items():
            if key != "epoch":
                writer.add_scalar(key, value, epoch)


def draw_curves(history: list[dict[str, float]], folder: Path) -> None:
    """Plot losses and accuracy by epoch as `curves.png`."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, keys in ((left, ("train_loss", "val_loss")), (right, ("val_accuracy", "val_recall_mean"))):
        for key in keys:
            axis.plot(epochs, [row[key] for row in history], marker=".", label=key.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(folder / "curves.png", dpi=120)
