"""Command-line options made from the fields of `RunConfig`, so that each flag and its help are written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from stan_edge.config.origins import OF_ONE_CAMERA, Given
from stan_edge.config.run_config import OPTIONS, SECTIONS
from stan_edge.errors import ConfigError


def option(field: str, *, help_text: str | None = None, panel: str | None = None) -> OptionInfo:
    """The option of one field (`model.hop_s`).

    Args:
        help_text: what it does, where a verb does something else by it than `run`.
        panel: heading among the options; None: the first.
    """
    info, known = OPTIONS[field]
    bounds = {name: getattr(mark, name) for mark in info.metadata for name in ("ge", "le") if hasattr(mark, name)}
    made: OptionInfo = typer.Option(
        known.flag,
        help=help_text or info.description,
        envvar=known.variable,
        metavar=known.metavar,
        min=bounds.get("ge"),
        max=bounds.get("le"),
        rich_help_panel=panel,
    )
    return made


# those that several verbs share with `run`
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


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of `RunConfig`, before its own; it gets them as keywords named by
    `_parameter`."""
    own = [
        one for one in inspect.signature(command, eval_str=True).parameters.values() if one.kind is not one.VAR_KEYWORD
    ]
    made = [
        inspect.Parameter(
            _parameter(field),
            inspect.Parameter.KEYWORD_ONLY,
            default=None if _repeats(field) else info.default,
            annotation=Annotated[_type(field, info), option(field, panel=SECTIONS[field.partition(".")[0]].panel)],
        )
        for field, (info, _) in OPTIONS.items()
    ]
    signature = inspect.Signature(sorted([*made, *own], key=lambda one: one.kind))
    command.__signature__ = signature  # type: ignore[attr-defined]  # what Typer makes its options of
    command.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return command


def given_values(context: typer.Context, keywords: dict[str, Any]) -> dict[str, Given]:
    """Those options that stand on the command line, by the dotted name of their field."""
    sources = {field: context.get_parameter_source(_parameter(field)) for field in OPTIONS}
    return {
        field: Given(keywords[_parameter(field)], OPTIONS[field][1].first_flag)
        for field, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }


def _parameter(field: str) -> str:
    return field.replace(".", "_")


def _repeats(field: str) -> bool:
    section, name = field.split(".")
    return section == "cameras" and name in OF_ONE_CAMERA


def _type(field: str, info: FieldInfo) -> Any:
    """What Typer is to read: text where only `RunConfig` knows better."""
    kinds = [getattr(one, "__origin__", one) for one in (info.annotation, *get_args(info.annotation))]
    inner = next((kind for kind in kinds if kind in (bool, int, float, Path)), str)
    if _repeats(field):
        return list[inner] | None  # type: ignore[valid-type]
    return inner if info.default is not None else inner | None
