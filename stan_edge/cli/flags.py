"""Command-line options made from the fields of `RunConfig`, so that each flag and its help are written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo
from typer.models import OptionInfo

from stan_edge.config.fields import Option
from stan_edge.config.origins import OF_ONE_CAMERA, Given
from stan_edge.config.run_config import SECTIONS, options


def option(field: str, *, help_text: str | None = None, panel: str | None = None) -> OptionInfo:
    """The option of one field (`model.hop_s`).

    Args:
        help_text: what it does, where a verb does something else by it than `run`.
        panel: heading among the options; None: the first.
    """
    section, name = field.split(".")
    info = SECTIONS[section].model_fields[name]
    known = next(mark for mark in info.metadata if isinstance(mark, Option))
    bounds = {name: getattr(mark, name) for mark in info.metadata for name in ("ge", "le") if hasattr(mark, name)}
    extra: dict[str, Any] = {"rich_help_panel": panel} if panel else {}
    made: OptionInfo = typer.Option(
        known.flag,
        help=help_text or info.description,
        envvar=known.variable,
        metavar=known.metavar,
        min=bounds.get("ge"),
        max=bounds.get("le"),
        **extra,
    )
    return made


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of `RunConfig`; it gets them as keywords named by `_parameter`."""
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
        for field, info, _ in options()
    ]
    first = [one for one in own if one.kind is not one.KEYWORD_ONLY]
    last = [one for one in own if one.kind is one.KEYWORD_ONLY]

    def with_options(*args: Any, **keywords: Any) -> None:
        command(*args, **keywords)

    with_options.__doc__ = command.__doc__
    signature = inspect.Signature([*first, *made, *last])
    with_options.__signature__ = signature  # type: ignore[attr-defined]  # what Typer makes its options of
    with_options.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return with_options


def given_values(context: typer.Context, keywords: dict[str, Any]) -> dict[str, Given]:
    """Those options that stand on the command line, by the dotted name of their field."""
    found = {}
    for field, _, known in options():
        source = context.get_parameter_source(_parameter(field))
        if source is not None and source.name == "COMMANDLINE":
            found[field] = Given(keywords[_parameter(field)], known.first_flag)
    return found


def _parameter(field: str) -> str:
    return field.replace(".", "_")


def _repeats(field: str) -> bool:
    section, name = field.split(".")
    return section == "cameras" and name in OF_ONE_CAMERA


def _type(field: str, info: FieldInfo) -> Any:
    """What Typer is to read: text where only `RunConfig` knows better."""
    inner = _plain(info.annotation)
    if _repeats(field):
        return list[inner] | None  # type: ignore[valid-type]
    return inner if info.default is not None else inner | None


def _plain(annotation: Any) -> Any:
    for one in (annotation, *get_args(annotation)):
        for kind in (one, *get_args(one)):
            if kind in (bool, int, float, Path):
                return kind
    return str
