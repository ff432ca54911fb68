"""`stan-edge train`: manifests (or synthetic clips) -> checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from stan_edge.cli.options import choice
from stan_edge.extras import need_extra

DATA, MODEL, FIT, MACHINE = "Data", "Model", "Training", "Machine"


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; a killed run in it is continued.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Manifest to learn from, repeatable; none: synthetic clips.", rich_help_panel=DATA),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", help="Manifest that is only trained on, repeatable.", rich_help_panel=DATA),
    ] = None,
    val: Annotated[
        list[Path] | None,
        typer.Option("--val", help="Manifest to validate on; default: a part of the groups.", rich_help_panel=DATA),
    ] = None,
    folds: Annotated[
        str, typer.Option("--folds", help="none, subjects, ntu, or a number of folds.", rich_help_panel=DATA)
    ] = "none",
    fold: Annotated[int, typer.Option("--fold", min=1, help="Which fold to train.", rich_help_panel=DATA)] = 1,
    val_share: Annotated[float, typer.Option("--val-share", rich_help_panel=DATA)] = 0.1,
    clips: Annotated[
        int, typer.Option("--clips", min=10, help="Synthetic clips to render without --data.", rich_help_panel=DATA)
    ] = 1200,
    whole_clips: Annotated[
        bool,
        typer.Option(
            "--whole-clips", help="20 frames of each whole clip, as the paper; for weak labels.", rich_help_panel=DATA
        ),
    ] = False,
    model: Annotated[str, typer.Option("--model", help="stan-t, stan-s or stan-xs.", rich_help_panel=MODEL)] = "stan-t",
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Public UniFormer or own weights to start from.", rich_help_panel=MODEL),
    ] = None,
    size_px: Annotated[
        int | None,
        typer.Option(
            "--size", help="Side of the input, a multiple of 16; default: 112, other models 224.", rich_help_panel=MODEL
        ),
    ] = None,
    window_s: Annotated[float, typer.Option("--window", help="Seconds a window spans.", rich_help_panel=MODEL)] = 2.0,
    view: Annotated[
        str, typer.Option("--view", help="global, local, blend, union or late.", rich_help_panel=MODEL)
    ] = "blend",
    region: Annotated[str, typer.Option("--region", help="box or mask.", rich_help_panel=MODEL)] = "box",
    background: Annotated[float, typer.Option("--background-share", min=0.0, max=0.9, rich_help_panel=FIT)] = 0.3,
    flip: Annotated[
        list[str] | None,
        typer.Option("--flip", help="Class whose clips may be mirrored, repeatable.", rich_help_panel=FIT),
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, rich_help_panel=FIT)] = 25,
    short_epochs: Annotated[
        int,
        typer.Option("--short-epochs", min=0, help="First epochs, on 4 frames of each window.", rich_help_panel=FIT),
    ] = 0,
    epoch_windows: Annotated[
        int, typer.Option("--epoch-windows", min=1, help="Windows in an epoch.", rich_help_panel=FIT)
    ] = 2000,
    batch: Annotated[int, typer.Option("--batch", min=1, rich_help_panel=FIT)] = 64,
    micro_batch: Annotated[
        int, typer.Option("--micro-batch", min=1, help="Windows in one pass.", rich_help_panel=FIT)
    ] = 16,
    lr: Annotated[float, typer.Option("--lr", help="Largest learning rate.", rich_help_panel=FIT)] = 5e-4,
    patience: Annotated[
        int, typer.Option("--patience", min=1, help="Epochs without progress before it stops.", rich_help_panel=FIT)
    ] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, rich_help_panel=FIT)] = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that decode and augment.", rich_help_panel=MACHINE)
    ] = 2,
    devices: Annotated[
        int, typer.Option("--devices", min=1, help="GPUs, or processes on a CPU.", rich_help_panel=MACHINE)
    ] = 1,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, help="Machines; start each with torchrun.", rich_help_panel=MACHINE)
    ] = 1,
    precision: Annotated[
        str, typer.Option("--precision", help="auto, 32-true or bf16-mixed.", rich_help_panel=MACHINE)
    ] = "auto",
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Decoded clips; default: inside the run folder.", rich_help_panel=MACHINE),
    ] = None,
) -> None:
    """Learn from clips what happens in them; without any, from synthetic people."""
    need_extra("train", "torch", "safetensors", "matplotlib", "lightning_fabric", "tensorboard", "sklearn")
    from stan_edge.model.contract import RegionKind, View
    from stan_train.augment import AugmentConfig
    from stan_train.options import DataOptions, FitConfig, MachineOptions, ModelOptions
    from stan_train.train import train

    train(
        out,
        DataOptions(
            data=tuple(data or ()),
            also=tuple(also or ()),
            val=tuple(val or ()),
            folds=folds,
            fold=fold,
            val_share=val_share,
            draw=clips,
        ),
        ModelOptions(
            model=model,
            init=init,
            size_px=size_px,
            window_s=window_s,
            view=cast(View, choice("--view", view, *get_args(View))),
            region=cast(RegionKind, choice("--region", region, *get_args(RegionKind))),
            background_share=background,
        ),
        FitConfig(
            epochs=epochs,
            epoch_windows=epoch_windows,
            batch=batch,
            micro_batch=micro_batch,
            lr=lr,
            short_epochs=short_epochs,
            patience=patience,
            whole_clips=whole_clips,
            seed=seed,
        ),
        AugmentConfig(flip=tuple(flip or ())),
        MachineOptions(
            workers=workers,
            devices=devices,
            nodes=nodes,
            precision=choice("--precision", precision, "auto", "32-true", "bf16-mixed"),
            cache=cache,
        ),
    )
