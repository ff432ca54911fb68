"""`stan-edge engine`: bundle -> TensorRT engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import Precision, option
from stan_edge.errors import ConfigError


def command(
    bundle: Annotated[Path | None, typer.Argument(help="Model bundle; default: the one that ships inside.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write to; default: where the backends look for them.")
    ] = None,
    backend: Annotated[
        str,
        option("model.backend", help_text="tensorrt (on the GPU's own machine) or tensorrt-rtx (also ahead of time)."),
    ] = "tensorrt",
    precision: Precision = "f32",
    methods: Annotated[
        list[str] | None, option("model.method", help_text="Build for this method only; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build again what is there already.")] = False,
) -> None:
    """Build the engines of a model for an NVIDIA GPU: one for the labels, one for each method that explains."""
    from rich.console import Console

    from stan_edge.backends.tensorrt.cache import engines_folder
    from stan_edge.backends.tensorrt.library import choose
    from stan_edge.model.bundle import methods_named, methods_of, open_bundle, shipped_bundle
    from stan_export.engines import build_engines

    chosen = choose(backend, precision)
    opened = open_bundle(bundle or shipped_bundle())
    wanted = methods_named(opened, methods) if methods else methods_of(opened)
    folder = out or engines_folder()
    if folder is None:
        raise ConfigError("There is no home to keep engines in; give --out FOLDER.")
    console = Console()
    for built in build_engines(chosen, [opened.forward(), *map(opened.explain, wanted)], folder, force=force):
        verdict = f"built in {built.seconds:.0f} s, {built.layers} layers" if built.layers else "is there already"
        size_mb = built.path.stat().st_size / 1e6
        console.print(f"{built.graph}: {verdict}, {size_mb:.0f} MB", highlight=False)
    where = "found by run, bench and verify" if out is None else "copy it to ~/.cache/stan-edge/engines where they run"
    console.print(f"{folder}: {where}", highlight=False, markup=False, soft_wrap=True)
