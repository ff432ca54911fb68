"""`stan-edge train`: train a model on generated clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import need_extra


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; a killed run in it is continued.")],
    model: Annotated[str, typer.Option("--model", help="stan-t, stan-s or stan-xs.")] = "stan-t",
    init: Annotated[Path | None, typer.Option("--init", help="Public UniFormer or own weights to start from.")] = None,
    clips: Annotated[int, typer.Option("--clips", min=10, help="Generated clips to draw for training.")] = 1200,
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 8,
    epoch_windows: Annotated[int, typer.Option("--epoch-windows", min=1, help="Windows in an epoch.")] = 2000,
    batch: Annotated[int, typer.Option("--batch", min=1)] = 16,
    lr: Annotated[float, typer.Option("--lr", help="Largest learning rate.")] = 8e-4,
    size_px: Annotated[int | None, typer.Option("--size", help="Side of the input; default: 112, stan-s 224.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that draw clips.")] = 2,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Draw people falling, in pain, exercising and doing nothing special; train a model to tell which."""
    need_extra("train", "torch", "safetensors", "matplotlib")
    from stan_train.train import TrainOptions, train

    train(
        TrainOptions(
            out=out,
            model=model,
            init=init,
            clips=clips,
            epochs=epochs,
            epoch_windows=epoch_windows,
            batch=batch,
            lr=lr,
            size_px=size_px,
            workers=workers,
            seed=seed,
        )
    )
