"""`stan-edge verify`: replay a bundle's parity recordings on every backend present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.cli.options import JsonLines
from stan_edge.errors import BackendError, ParityError

if TYPE_CHECKING:
    from stan_edge.model.bundle import Bundle
    from stan_edge.parity import ParityRow


def command(
    bundle: Annotated[Path | None, typer.Argument(help="Model bundle; default: the one that ships inside.")] = None,
    json_lines: JsonLines = False,
) -> None:
    """Replay the float64 recordings of a model on every backend present, and print the errors."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from stan_edge.model.bundle import open_bundle, shipped_bundle

    opened = open_bundle(bundle or shipped_bundle())
    rows, unchecked, failed = _replayed(opened)
    if json_lines:
        for row in rows:
            print(json.dumps(row.__dict__ | {"passed": row.passed}))
    else:
        console = Console()
        table = Table("backend", "method", "logits", "scores", "map", "allowed", "", box=box.SIMPLE_HEAD)
        for row in rows:
            verdict = "[green]ok[/]" if row.passed else "[bold red]REFUSED[/]"
            errors = (f"{error:.1e}" for error in (row.logits_error, row.scores_error, row.map_error))
            table.add_row(f"{row.backend} {row.precision}", row.method, *errors, f"{row.tolerance:.0e}", verdict)
        console.print(f"{opened.contract.name}  {opened.digest}", highlight=False)
        console.print(
            "Largest error of logits, frame scores and maps over the largest float64 value of each recording:"
        )
        console.print(table)
        for sentence in unchecked:
            console.print(f"not checked: {sentence}", style="dim", highlight=False, markup=False)
    if failed:
        raise ParityError(f"f32 does not reproduce float64 on {', '.join(failed)}; do not use it with this model.")
    if not rows:
        raise ParityError("No backend is installed; run: pip install 'stan-edge[openvino]'.")


def _replayed(bundle: Bundle) -> tuple[list[ParityRow], list[str], list[str]]:
    """The rows, why there are no others, and what does not work in f32."""
    from stan_edge.backends.base import PRECISIONS
    from stan_edge.backends.registry import ALL_BACKENDS, open_backend
    from stan_edge.model.bundle import methods_of
    from stan_edge.parity import replay
    from stan_edge.pipeline.predictor import Explainer

    rows: list[ParityRow] = []
    unchecked, failed = [], []
    for name in ALL_BACKENDS:
        for precision in PRECISIONS:
            try:
                backend = open_backend(name, precision)
            except BackendError as error:
                unchecked.append(str(error))
                continue
            for method in methods_of(bundle):
                passed = False
                try:
                    rows.append(replay(bundle, backend, Explainer(bundle, backend, method)))
                    passed = rows[-1].passed
                except BackendError as error:
                    unchecked.append(f"{name} {precision} {method}: {error}")
                # reduced precision that misses is refused by `run`, and that is all; f32 means a broken engine
                if precision == "f32" and not passed:
                    failed.append(f"{name} {method}")
    return rows, list(dict.fromkeys(unchecked)), failed  # without a GPU every precision fails for one reason
