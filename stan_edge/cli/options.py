"""Options that several verbs share, and the checks that need the model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stan_edge.errors import ConfigError

if TYPE_CHECKING:
    from stan_edge.bundle import Bundle
    from stan_edge.contract import Contract, Method

Model = Annotated[Path | None, typer.Option("--model", help="Model bundle; default: the one that ships inside.")]
BackendName = Annotated[str, typer.Option("--backend", help="auto, openvino or onnxruntime.")]
Precision = Annotated[str, typer.Option("--precision", help="f32, bf16 or f16.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="Threads of the engine; 0: it chooses.")]
AllowFallback = Annotated[
    bool, typer.Option("--allow-fallback", help="Take another backend when the one asked for is not there.")
]
DEFAULT_METHOD = "gradcam"
"""The one whose frames matter most to the shipped model, taken away or kept alone: bench/results/faithfulness.md."""
MethodName = Annotated[
    str, typer.Option("--method", help="gradcam, staa-grad, or (experimental) vanilla, smoothgrad, streaming, staa.")
]
HopS = Annotated[float | None, typer.Option("--hop", help="Seconds between windows; default: the model's.")]
CropText = Annotated[str | None, typer.Option("--crop", help="Part of the picture to use: X,Y,WIDTH,HEIGHT.")]
Person = Annotated[bool, typer.Option("--person/--no-person", help="Find the person, or take the whole frame.")]


def method_of(bundle: Bundle, name: str) -> Method:
    """The method by its name.

    Raises:
        ConfigError: the model was not exported with it.
    """
    for method in bundle.contract.methods:
        if method == name:
            return method
    raise ConfigError(
        f"--method {name}: model {bundle.contract.name} has {', '.join(bundle.contract.methods)}; choose one of them."
    )


def class_of(contract: Contract, name: str) -> str:
    """The class itself, where its frames can be important.

    Raises:
        ConfigError: the model has no such class, or it is the background.
    """
    shown = [label for label in contract.classes if label != contract.background]
    return choice("--explain-class", name, *shown)


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
