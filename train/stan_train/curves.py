"""Curves of a training run as a picture."""

from __future__ import annotations

from pathlib import Path


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
