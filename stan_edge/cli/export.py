"""`stan-edge export`: checkpoint -> bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import need_extra


def command(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint that `stan-edge train` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to write.")],
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="Labelled windows (default: calibration.npz beside the checkpoint), or an earlier bundle of it.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle if it is there already.")] = False,
) -> None:
    """Write a bundle: forward and gradient graphs, contract, calibration, float64 parity recordings, digests."""
    need_extra("export", "torch", "onnx")
    from stan_export.export import export

    export(checkpoint, out, calibration, force=force)
