"""mkdocs hook: fills in the tables that the code itself knows, so that they cannot be out of date.

In a page, `<!-- fields: MODULE:MODEL -->` becomes a table for each section of a pydantic model, and
`<!-- commands -->` a table for each verb of `stan-edge`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

FIELDS = re.compile(r"<!-- fields: ([\w.]+):(\w+) -->")
COMMANDS = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    markdown = FIELDS.sub(lambda match: "\n".join(_sections(getattr(import_module(match[1]), match[2]))), markdown)
    return markdown.replace(COMMANDS, "\n".join(_verbs())) if COMMANDS in markdown else markdown


def _sections(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        section = _model_in(field.annotation)
        if section is None:
            continue
        several = _origin(field.annotation) in (list, tuple)
        yield f"\n## `[{name.removesuffix('s') if several else name}]` {{ #{name} }}\n"
        if section.__doc__:
            yield f"{cleandoc(section.__doc__)}\n"
        yield "| field | value | default | option | |\n|---|---|---|---|---|"
        for key, its in section.model_fields.items():
            values = (
                f"`{key}`",
                _type(its.annotation) + _bounds(its),
                _default(its),
                _flag(its),
                _cell(its.description),
            )
            yield f"| {' | '.join(values)} |"


def _origin(annotation: Any) -> Any:
    return _origin(get_args(annotation)[0]) if get_origin(annotation) is Annotated else get_origin(annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in parts if part is not NoneType)
    if origin in (list, tuple):
        return f"list of {_type(parts[0])}"
    words = {"str": "text", "Path": "path", "bool": "`true` or `false`", "int": "whole number", "float": "number"}
    return words.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation)))


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(mark, key)}" for mark in field.metadata for key, sign in signs.items() if hasattr(mark, key)
    ]
    return f", {', '.join(found)}" if found else ""


def _flag(field: FieldInfo) -> str:
    return next((f"`{mark.flag}`" for mark in field.metadata if hasattr(mark, "flag")), "")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if field.is_required():
        return "required"
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _verbs() -> Iterator[str]:
    from typer.main import get_command

    from stan_edge.cli.app import app

    root = get_command(app)
    yield from _commands("stan-edge", root)


def _commands(path: str, command: Any) -> Iterator[str]:
    for name, verb in sorted(getattr(command, "commands", {}).items()):
        if hasattr(verb, "commands"):
            yield from _commands(f"{path} {name}", verb)
            continue
        yield f"\n## `{path} {name}` {{ #{f'{path} {name}'.removeprefix('stan-edge ').replace(' ', '-')} }}\n"
        yield f"{_help(verb.help)}\n"
        yield "| option | default | |\n|---|---|---|"
        for parameter in verb.params:
            yield f"| {_option(parameter)} | {_shown_default(parameter)} | {_help(parameter.help)} |"


def _option(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{(parameter.metavar or parameter.name).upper().strip('[]')}`" + (
            ", required" if parameter.required else ""
        )
    names = [f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)]
    repeatable = ", repeatable" if parameter.multiple else ""
    return ", ".join(names) + (", required" if parameter.required else "") + repeatable


def _shown_default(parameter: Any) -> str:
    value = parameter.default
    if callable(value) or value in (None, (), [], False) or "Sentinel" in type(value).__name__:
        return ""
    return "on" if value is True else f"`{value}`"


def _help(text: str | None) -> str:
    return _cell(" ".join((text or "").split("\f")[0].split()))


def _cell(text: str | None) -> str:
    """Text that may stand in a cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")
