"""A configuration file: TOML, read with care, and the line in which each of its values stands.

Relative paths in it start from its own folder.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stan_edge.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_BYTES = 64 * 1024
"""Anything longer was written by no person."""

Key = tuple[str | int, ...]
"""A place in the file, as `("camera", 1, "source")`."""


@dataclass(frozen=True)
class TomlFile:
    """A file that is TOML; whether its values fit is not looked at yet."""

    path: Path
    text: str
    document: dict[str, Any]

    @property
    def several(self) -> bool:
        """Whether cameras have a [[camera]] each, or there is none."""
        return isinstance(self.document.get("camera", []), list)

    def values(self) -> dict[str, Any]:
        """What it says in the form of a `RunConfig`: cameras are a list, and recordings start from the file's
        folder."""
        cameras = self.document.get("camera", [])
        found = {name: section for name, section in self.document.items() if name != "camera"}
        return found | {"cameras": list(map(self._resolved, cameras if self.several else [cameras]))}

    def _resolved(self, camera: Any) -> Any:
        from stan_edge.sources import is_camera

        source = camera.get("source") if isinstance(camera, dict) else None
        if not isinstance(source, str) or not source or is_camera(source):
            return camera
        return camera | {"source": str(self.path.absolute().parent / source)}

    def key(self, place: Key) -> Key | None:
        """Where a place of a `RunConfig` stands here; None: nowhere. What a camera lacks is missing in its table."""
        if place[0] != "cameras":
            return place if _has(self.document, place) else None
        camera = ("camera", *place[1 if self.several else 2 :])
        return next((key for key in (camera, camera[: 2 if self.several else 1]) if _has(self.document, key)), None)

    def where(self, key: Key) -> tuple[int, str]:
        """The line, from 1, in which the statement begins that gives a key, or opens its table; with it file and key,
        as a sentence begins.

        The parser itself decides: of the beginnings of the file that are TOML, the shortest that has the key ends with
        that statement, and the one before it ends where the statement begins.
        """
        lines = self.text.split("\n")
        before = 0
        for number in range(1, len(lines) + 1):
            try:
                document = tomllib.loads("\n".join(lines[:number]))
            except (ValueError, RecursionError):
                continue
            if _has(document, key):
                break
            before = number
        # a part that is not a plain word stands in quotes
        dotted = ".".join(str(part) if re.fullmatch(r"[\w-]+", str(part)) else ascii(part) for part in key)
        return before + 1, f"{self.path}, line {before + 1}, {dotted}"


def read_toml(path: Path) -> TomlFile:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, is too large, or is not TOML; the line is named.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read ({reason}); give a configuration file (TOML).") from None
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES >> 10} KiB; give a configuration file (TOML).")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8.") from None
    try:
        return TomlFile(path, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # tomllib passes on those of int(), of dates, and of deep nesting
        reason, where = str(error), ""
        if isinstance(error, RecursionError):
            reason = "nested too deep"
        elif place := re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", reason):
            reason, last_line = reason[: place.start()], text.rstrip("\n").count("\n") + 1
            where = f", line {place[1] or last_line}"
        else:
            reason = reason.partition(";")[0]
        raise ConfigError(
            f"{path}{where}: this is not TOML ({reason}); "
            "text stands in quotes, a section in [brackets], each name once."
        ) from None


def _has(document: Any, key: Key) -> bool:
    for part in key:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
