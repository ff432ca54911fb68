"""`stan-edge tables`: the paper's grid on synthetic clips."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.extras import need_extra


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; a killed run in it is continued.")],
    init: Annotated[Path | None, typer.Option("--init", help="Weights that STAN starts from.")] = None,
    resnet: Annotated[
        Path | None, typer.Option("--resnet", help="Weights of ResNet-50 with torchvision's names; none: random.")
    ] = None,
    train_clips: Annotated[int, typer.Option("--train-clips", min=50)] = 200,
    short_clips: Annotated[int, typer.Option("--short-clips", min=5, help="Test clips of 6 s.")] = 40,
    long_clips: Annotated[int, typer.Option("--long-clips", min=4, help="Test clips of 394 frames.")] = 8,
    calibration_clips: Annotated[int, typer.Option("--calibration-clips", min=10)] = 30,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 3,
    epoch_windows: Annotated[int, typer.Option("--epoch-windows", min=32)] = 480,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 5_000_000,
    workers: Annotated[int, typer.Option("--workers", min=1)] = 2,
) -> None:
    """Train and measure every model, view and method of the paper on synthetic clips, in one unattended run."""
    need_extra(
        "export",
        *("torch", "safetensors", "matplotlib", "lightning_fabric", "tensorboard", "sklearn", "scipy", "onnx"),
    )
    from stan_eval.tables import GridOptions, tables

    options = GridOptions(
        train_clips=train_clips,
        short_clips=short_clips,
        long_clips=long_clips,
        calibration_clips=calibration_clips,
        epochs=epochs,
        epoch_windows=epoch_windows,
        seed=seed,
        init=init,
        resnet=resnet,
        workers=workers,
    )
    tables(out, options, shlex.join(["stan-edge", *sys.argv[1:]]))
