"""`stan-edge evaluate`: a bundle over labelled clips -> the paper's tables, events, and pictures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.cli.options import BackendName
from stan_edge.errors import ConfigError
from stan_edge.extras import need_extra


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, results.json and pictures.")],
    bundle: Annotated[Path | None, typer.Argument(help="Bundle to evaluate; none with --fold.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Manifest of labelled clips, from `stan-edge data scan`; repeatable."),
    ] = None,
    fold: Annotated[
        list[str] | None,
        typer.Option("--fold", metavar="BUNDLE=CSV", help="A fold's bundle and its held-out clips; repeatable."),
    ] = None,
    methods: Annotated[str | None, typer.Option("--methods", help="As vanilla,staa; default: all it has.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also draw frames of missed events and of false alarms.")
    ] = False,
    faithfulness: Annotated[
        bool,
        typer.Option("--faithfulness", help="Also take frames away in the order of their importance; minutes."),
    ] = False,
    into_card: Annotated[
        bool, typer.Option("--into-card", help="With --faithfulness: note the outcome in the bundle's card.")
    ] = False,
    backend: BackendName = "auto",
) -> None:
    """Measure exported models on clips that they were not trained on, by the code that runs live.

    Writes tables.md, tables.csv, results.json and pictures. Clips that cannot be read are named and left out.
    """
    need_extra("train", "sklearn", "scipy", "matplotlib")
    if faithfulness:
        need_extra("export", "torch", "onnx")
    from stan_edge.model.bundle import methods_named, open_bundle
    from stan_eval.run import Fold, evaluate

    if fold:
        if bundle is not None or data:
            raise ConfigError("--fold names bundles and manifests itself; leave BUNDLE and --data out.")
        folds = [Fold(*_parts(text)) for text in fold]
    elif bundle is None or not data:
        raise ConfigError("Say what to evaluate: BUNDLE --data MANIFEST, or --fold BUNDLE=MANIFEST for every fold.")
    else:
        folds = [Fold(bundle, tuple(data))]
    first = open_bundle(folds[0].bundle)
    wanted = None if methods is None else methods_named(first, methods.split(","))
    if into_card and (fold or not faithfulness):
        raise ConfigError("--into-card notes the outcome of --faithfulness in one bundle; give both, without --fold.")
    evaluate(
        folds,
        out,
        wanted,
        backend,
        shlex.join(["stan-edge", *sys.argv[1:]]),
        pictures=pictures,
        faithfulness=faithfulness,
        into_card=into_card,
    )


def _parts(text: str) -> tuple[Path, tuple[Path, ...]]:
    bundle, equals, manifest = text.rpartition("=")
    if not (bundle and equals and manifest):
        raise ConfigError(f"--fold {text}: must be BUNDLE=MANIFEST, as --fold fold1/bundle=fold1/test.csv.")
    return Path(bundle), (Path(manifest),)
