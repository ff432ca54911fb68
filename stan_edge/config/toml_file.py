"""A configuration file: TOML, read with care, and the line in which each of its values stands.

Relative paths in it start from its own folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from stan_edge.config.fields import CONTROL, File, Section
from stan_edge.config.run_config import SECTIONS
from stan_edge.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_BYTES = 64 * 1024
"""Anything longer was written by no person."""

Key = Sequence[str | int]
"""A place in the file, as `("camera", 1, "source")`."""


@dataclass(frozen=True)
class TomlFile:
    """A file that is TOML; whether its values fit is not looked at yet."""

    path: Path
    text: str
    document: dict[str, Any]

    @property
    def several(self) -> bool:
        """Whether cameras have a [[camera]] each."""
        return isinstance(self.document.get("camera"), list)

    def values(self) -> dict[str, Any]:
        """What it says in the form of a `RunConfig`: cameras are a list, and paths start from the file's folder."""
        folder = self.path.absolute().parent
        found: dict[str, Any] = {}
        for name, content in self.document.items():
            if name == "camera":
                found["cameras"] = [_resolved(one, SECTIONS["cameras"], folder) for one in self._cameras()]
            else:
                found[name] = _resolved(content, SECTIONS.get(name, Section), folder)
        return found

    def _cameras(self) -> list[Any]:
        cameras = self.document.get("camera", [])
        return cameras if isinstance(cameras, list) else [cameras]

    def key(self, place: Key) -> Key | None:
        """Where a place of a `RunConfig` stands here; None: nowhere. What a camera lacks is missing in its table."""
        if place[0] != "cameras":
            return place if _has(self.document, place) else None
        camera = ("camera", *place[1:]) if self.several else ("camera", *place[2:])
        table = camera[: 2 if self.several else 1]
        return next((key for key in (camera, table) if _has(self.document, key)), None)

    def line(self, key: Key) -> int:
        """The line, from 1, in which the statement begins that gives a key."""
        return line_of(self.text, key)

    def where(self, key: Key) -> str:
        """File, line and key, as the beginning of a sentence."""
        return f"{self.path}, line {self.line(key)}, {dotted(key)}"


def read_toml(path: Path) -> TomlFile:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is not TOML; the line is named.
    """
    text = _read_text(path)
    try:
        return TomlFile(path, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # tomllib passes on those of int(), of dates, and of deep nesting
        place, reason = _parser_said(text, error)
        raise ConfigError(
            f"{path}{place}: this is not TOML ({reason}); "
            "text stands in quotes, a section in [brackets], each name once."
        ) from None


def line_of(text: str, key: Key) -> int:
    """The line, from 1, in which the statement begins that gives a key, or opens its table.

    The parser itself decides: of the beginnings of the file that are TOML, the shortest that has the key ends with that
    statement, and the one before it ends where the statement begins.
    """
    lines = text.split("\n")
    before = 0
    for number in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:number]))
        except (ValueError, RecursionError):
            continue
        if _has(document, key):
            return before + 1
        before = number
    return 1


def dotted(key: Key) -> str:
    """A key as people write it; a part that is not a plain word stands in quotes."""
    return ".".join(str(part) if re.fullmatch(r"[\w-]+", str(part)) else ascii(part) for part in key)


def _has(document: Any, key: Key) -> bool:
    for part in key:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _resolved(content: Any, section: type[Section], folder: Path) -> Any:
    """The same with paths that start from a folder; what is no path, or no section, stays for its own refusal."""
    if not isinstance(content, dict):
        return content
    return {name: str(folder / value) if _is_path(section, name, value) else value for name, value in content.items()}


def _is_path(section: type[Section], name: str, value: Any) -> bool:
    field = section.model_fields.get(name)
    if field is None or not isinstance(value, str) or not value or CONTROL.search(value):
        return False
    if name == "source":
        from stan_edge.sources import is_camera

        return not is_camera(value)
    return File in get_args(field.annotation)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); give a configuration file (TOML).") from None
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES >> 10} KiB; give a configuration file (TOML).")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8.") from None


def _parser_said(text: str, error: Exception) -> tuple[str, str]:
    """The line, as part of a sentence, and the reason."""
    if isinstance(error, RecursionError):
        return "", "nested too deep"
    reason = str(error)
    place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", reason)
    if place is None:
        return "", reason.partition(";")[0]
    line = place[1] or text.rstrip("\n").count("\n") + 1
    return f", line {line}", reason[: place.start()]
