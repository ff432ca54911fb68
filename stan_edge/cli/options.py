"""Options that several verbs share with `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stan_edge.cli.flags import option
from stan_edge.errors import ConfigError

Model = Annotated[Path | None, option("model.bundle")]
BackendName = Annotated[str, option("model.backend")]
Precision = Annotated[str, option("model.precision")]
Threads = Annotated[int, option("model.threads")]
AllowFallback = Annotated[bool, option("model.allow_fallback")]
MethodName = Annotated[str | None, option("model.method")]
TargetClass = Annotated[str | None, option("model.target_class")]
HopS = Annotated[float | None, option("model.hop_s")]
CropText = Annotated[str | None, option("cameras.crop")]
Person = Annotated[bool, option("cameras.person")]
JsonLines = Annotated[bool, option("log.json_lines")]


def choice(option: str, value: str, *choices: str) -> str:
    """The value itself; raises ConfigError when it is not one of the choices."""
    if value not in choices:
        raise ConfigError(f"{value!r} is not one of {', '.join(choices)}; choose one.", field=option)
    return value
