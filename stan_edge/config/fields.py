"""What a field of the configuration is made of: a type, and the option that sets it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo


@dataclass(frozen=True)
class Option:
    """How a field is set on the command line, or by the environment."""

    flag: str
    variable: str | None = None
    metavar: str | None = None

    @property
    def first_flag(self) -> str:
        """As a sentence names it: of `--person/--no-person` the first."""
        return self.flag.partition("/")[0]


class Section(BaseModel):
    """Fields of one concern."""

    # built when first used: the help of the command needs the fields alone
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)
    panel: ClassVar[str | None] = None
    """Heading of its flags in the help; None: among those without one."""


def setting(
    default: Any, flag: str, help_text: str, *, variable: str | None = None, metavar: str | None = None, **bounds: Any
) -> Any:
    """A field.

    Args:
        help_text: one sentence, for the command line and the schema of the file.
        metavar: stands for the value in the help of the command line.
        bounds: of a number, as pydantic's `Field` takes them.
    """
    info = Field(default, description=help_text, **bounds)
    info.metadata.append(Option(flag, variable, metavar))
    return info


def _printable(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("holds a control character; write it in plain text")
    return text


def _path(value: Any, info: ValidationInfo) -> Any:
    if value == "":
        raise ValueError("is empty; write a path, or take the line out")
    folder = (info.context or {}).get("folder", "")
    return Path(folder, _printable(value)) if isinstance(value, str) else value


def _camera_number(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000 else value


Text = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
File = Annotated[Path, BeforeValidator(_path)]
"""Text of a configuration file starts from its folder, by the context `{"folder": Path}`."""
Source = Annotated[Text, BeforeValidator(_camera_number)]
"""A camera number may be a number."""
