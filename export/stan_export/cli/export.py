"""`stan-edge export`: checkpoint -> bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stan_edge.errors import ConfigError
from stan_edge.extras import need_extra


def command(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint that `stan-edge train` wrote, or the folder of a Hugging Face video classifier."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle folder to write.")],
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            help="Labelled windows (default: calibration.npz beside the checkpoint), or an earlier bundle of it.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle if it is there already.")] = False,
    window_s: Annotated[
        float | None, typer.Option("--window", help="Hugging Face: seconds that the model's frames span.", min=0.1)
    ] = None,
    background: Annotated[
        str | None, typer.Option("--background", help="Hugging Face: the class that means nothing is happening.")
    ] = None,
    alarms: Annotated[
        str | None,
        typer.Option("--alarms", help="Hugging Face: classes that raise events, as falling,headache; default: all."),
    ] = None,
) -> None:
    """Write a bundle: forward and gradient graphs, contract, calibration, float64 parity recordings, digests."""
    need_extra("export", "torch", "safetensors", "onnx")
    from stan_export.export import check_out, export, write_bundle

    if not checkpoint.is_dir():
        if (window_s, background, alarms) != (None, None, None):
            raise ConfigError(
                "--window, --background and --alarms are for Hugging Face folders; a checkpoint knows them."
            )
        export(checkpoint, out, calibration, force=force)
        return
    need_extra("transformers", "transformers", "onnxscript")
    from stan_export.hugging_face import read_hugging_face

    if window_s is None:
        raise ConfigError(f"{checkpoint} does not say how long its windows are; give --window SECONDS.")
    check_out(out, force=force)
    names = None if alarms is None else [name for name in alarms.split(",") if name]
    network = read_hugging_face(checkpoint, window_s=window_s, background=background, alarms=names)
    write_bundle(network, out, calibration, force=force)
