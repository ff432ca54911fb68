"""Options that several verbs share, and checks of what was given."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.errors import ConfigError

Model = Annotated[Path | None, typer.Option("--model", help="Model bundle; default: the one that ships inside.")]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        help="auto, openvino, onnxruntime; on a GPU tensorrt, tensorrt-rtx, onnxruntime-cuda, -tensorrt, openvino-gpu.",
    ),
]
Precision = Annotated[str, typer.Option("--precision", help="f32, bf16 or f16.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Threads of the engine; 0: it chooses.")]
AllowFallback = Annotated[
    bool, typer.Option("--allow-fallback", help="Take another backend when the one asked for is not there.")
]
MethodName = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="gradcam, staa-grad, or (experimental) vanilla, smoothgrad, streaming, staa; default: the model's first.",
    ),
]
HopS = Annotated[float | None, typer.Option("--hop", help="Seconds between windows; default: the model's.")]
CropText = Annotated[str | None, typer.Option("--crop", help="Part of the picture to use: X,Y,WIDTH,HEIGHT.")]
Person = Annotated[bool, typer.Option("--person/--no-person", help="Find the person, or take the whole frame.")]


def need_extra(extra: str, *modules: str) -> None:
    """Raises ConfigError when a module of an optional extra is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is not installed; run: pip install 'stan-edge[{extra}]'.")


def choice(option: str, value: str, *choices: str) -> str:
    """The value itself; raises ConfigError when it is not one of the choices."""
    if value not in choices:
        raise ConfigError(f"{option} {value!r} is not one of {', '.join(choices)}; choose one.")
    return value


def secret_in(option: str, file: Path) -> str:
    """The text of a file, without the end of its line; raises ConfigError, which does not repeat it."""
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{option} {file}: cannot be read ({reason}); give a text file.") from None
    if not secret:
        raise ConfigError(f"{option} {file}: is empty; put the secret into it.")
    return secret
