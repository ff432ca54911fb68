"""`stan-edge check-config`: a configuration file -> what it would run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.config.origins import load_config
from stan_edge.errors import ConfigError


def command(
    file: Annotated[
        Path | None, typer.Argument(help="Configuration file (TOML), as `stan-edge run --config` takes it.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of such files instead.")] = False,
) -> None:
    """Check a configuration file and say what would run, without opening the camera."""
    if schema:
        from stan_edge.config.schema import toml_schema

        print(json.dumps(toml_schema(), indent=2))
        return
    if file is None:
        raise ConfigError("Name a configuration file, or give --schema.")
    config, origins = load_config(file, environment=os.environ)
    from stan_edge.live.check import check

    with origins.named():
        print(check(config))
