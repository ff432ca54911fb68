"""`stan-edge calibrate`: labelled clips -> temperature, frame scales and thresholds, event figures of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import BackendName, Threads
from stan_edge.extras import need_extra


def command(
    bundle: Annotated[Path, typer.Argument(help="Bundle to calibrate.")],
    data: Annotated[Path, typer.Option("--data", help="Manifest of labelled clips, from `stan-edge data scan`.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Bundle to write; default: BUNDLE itself is replaced.")
    ] = None,
    false_alarms_per_hour: Annotated[
        float,
        typer.Option(
            "--false-alarms-per-hour", min=1e-6, help="Most false alarms of each class, on clips that do not show it."
        ),
    ] = 1.0,
    methods: Annotated[str | None, typer.Option("--methods", help="As vanilla,staa; default: all it has.")] = None,
    backend: BackendName = "auto",
    threads: Threads = 0,
) -> None:
    """Run labelled clips through a bundle and choose the numbers in its contract by them.

    Use clips that the model was not trained on, or it will be too sure of itself.
    """
    need_extra("train", "scipy")
    from stan_edge.backends.registry import open_backend
    from stan_edge.model.bundle import methods_named, methods_of, open_bundle
    from stan_eval.calibration.calibrate import calibrate

    opened = open_bundle(bundle)
    wanted = methods_of(opened) if methods is None else methods_named(opened, methods.split(","))
    calibrate(bundle, data, out or bundle, wanted, false_alarms_per_hour, open_backend(backend, threads=threads))
