"""The command `stan-edge`, a verb a file. Verbs import what they need when they run: `--help` stays quick.

Training, export, evaluation and benchmarks add their own verbs by the entry points of `GROUP`.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from stan_edge.cli import check_config, doctor, events, explain, replay, run, verify
from stan_edge.config.run_config import OPTIONS
from stan_edge.errors import StanEdgeError
from stan_edge.log import configure

GROUP = "stan_edge.verbs"
UNUSABLE = 2
"""Exit code for usage, configuration or input that cannot be used; 1 is a failure while running."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Says in real time what is happening in front of a camera, and which frames made it say so.",
)
VERBS = (run, check_config, explain, events, replay, verify, doctor)
for verb in VERBS:
    app.command(name=verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)
for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
    added = entry.load()
    if isinstance(added, typer.Typer):
        app.add_typer(added, name=entry.name)
    else:
        app.command(name=entry.name)(added)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("stan-edge"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command; an error of ours is one sentence on stderr and an exit code."""
    configure()
    try:
        app()
    except StanEdgeError as error:
        _, option = OPTIONS.get(re.sub(r"\.\d+\.", ".", error.field or ""), (None, None))
        origin = option.first_flag if option else error.field
        print(f"stan-edge: {origin}: {error}" if origin else f"stan-edge: {error}", file=sys.stderr)
        sys.exit(UNUSABLE)
