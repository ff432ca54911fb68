"""Curves of a training run as a picture."""

from __future__ import annotations

from pathlib import Path


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
