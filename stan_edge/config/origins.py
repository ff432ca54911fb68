"""One configuration of a file, the environment and the command line, and where each of its values came from.

The command line wins over the environment, which wins over the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stan_edge.config.mistakes import sentence, unknown
from stan_edge.config.run_config import RunConfig, options
from stan_edge.config.toml_file import Key, TomlFile, read_toml
from stan_edge.errors import ConfigError

OF_ONE_CAMERA = ("source", "source_file", "name")
"""Fields that are given for each camera; the others are given for all at once."""


@dataclass(frozen=True)
class Given:
    """A value from outside of the file."""

    value: Any
    """Of `OF_ONE_CAMERA` a list, in the order of the cameras."""
    origin: str | None
    """A flag or an environment variable; None: nothing that has a name, such as an argument."""


class Origins:
    """Where each value of a configuration came from."""

    def __init__(self, file: TomlFile | None = None) -> None:
        self._file = file
        self._given: dict[tuple[str | int, ...], str | None] = {}
        self._cameras_in_file = file is not None and "camera" in file.document

    def of(self, field: str) -> str | None:
        """The origin of a field by its dotted name; None: it has its default, or came as an argument."""
        place = [int(part) if part.isdecimal() else part for part in field.split(".")]
        if place[0] == "cameras" and not isinstance(place[1], int):
            place.insert(1, 0)  # said by one that does not know which it is, and is the only one
        return self._of(place)

    def _of(self, place: Key) -> str | None:
        for length in range(len(place), 0, -1):
            if tuple(place[:length]) in self._given:
                return self._given[tuple(place[:length])]
        key = self._key(place)
        return None if key is None or self._file is None else self._file.where(key)

    def _key(self, place: Key) -> Key | None:
        if self._file is None or (place[0] == "cameras" and not self._cameras_in_file):
            return None
        return self._file.key(place)

    def merge(self, given: Mapping[str, Given]) -> dict[str, Any]:
        """The values of the file and those that win over them, in the form of a `RunConfig`.

        Raises:
            ConfigError: there are not as many names as cameras.
        """
        values = self._file.values() if self._file else {}
        of_cameras: dict[str, Given] = {}
        for name, one in given.items():
            section, _, field = name.partition(".")
            if section == "cameras":
                of_cameras[field] = one
            elif isinstance(content := values.setdefault(section, {}), dict):
                content[field] = one.value
                self._given[section, field] = one.origin
        values["cameras"] = self._merged_cameras(values.get("cameras", []), of_cameras)
        return values

    def _merged_cameras(self, tables: list[Any], given: Mapping[str, Given]) -> list[Any]:
        sources = [
            (field, value, given[field].origin)
            for field in ("source", "source_file")
            if field in given
            for value in given[field].value
        ]
        cameras = [dict(table) if isinstance(table, dict) else table for table in tables]
        if sources:  # instead of those of the file; what it says of its only one besides its source is for them, too
            self._cameras_in_file = self._cameras_in_file and self._file is not None and not self._file.several
            common = cameras[0] if self._cameras_in_file and isinstance(cameras[0], dict) else {}
            common = {field: value for field, value in common.items() if field not in OF_ONE_CAMERA}
            cameras = [common | {field: value} for field, value, _ in sources]
            self._given |= {("cameras", n, field): origin for n, (field, _, origin) in enumerate(sources)}
        names = given["name"].value if "name" in given else []
        if names and len(names) != len(cameras):
            raise ConfigError(
                f"{len(names)} names for {len(cameras)} cameras; give one for each, in the order of --camera, "
                "then --camera-file.",
                field="cameras.name",
            )
        for number, camera in enumerate(cameras):
            if not isinstance(camera, dict):
                continue
            own = {"name": Given(names[number], given["name"].origin)} if names else {}
            for field, one in (*own.items(), *given.items()):
                if field not in OF_ONE_CAMERA or one in own.values():
                    camera[field] = one.value
                    self._given["cameras", number, field] = one.origin
        return cameras

    def refusal(self, error: ValidationError) -> ConfigError:
        """The first mistake, by its line where it is one of the file; what was said elsewhere comes first."""
        found: list[tuple[int, int, str]] = []
        for number, one in enumerate(error.errors(include_url=False, include_input=False)):
            place: Key = one["loc"]
            if one["type"] == "together":
                place = str(one["ctx"]["field"]).split(".")
            key = None if tuple(place) in self._given else self._key(place)
            line = self._file.line(key) if self._file and key else 0
            origin = self._of(place)
            text = sentence(one, cameras_in_file=self._cameras_in_file)
            found.append((line, number, f"{origin}: {text}." if origin else f"{text}."))
        return ConfigError(min(found)[2])


def load_config(
    path: Path | None = None, given: Mapping[str, Given] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[RunConfig, Origins]:
    """Read a configuration.

    Args:
        path: TOML file; None: everything is in `given`.
        given: what wins over everything, by the dotted name of the field (`model.hop_s`, `cameras.crop`).
        environment: variables that win over the file.

    Raises:
        ConfigError: the file cannot be read, or a value is unknown or wrong. The sentence begins with where it was
            given: file, line and field, the flag, or the variable.
    """
    file = read_toml(path) if path else None
    if file and "cameras" in file.document:
        raise ConfigError(f"{file.where(('cameras',))}: {unknown('cameras', None)}.")
    origins = Origins(file)
    try:
        return RunConfig.model_validate(origins.merge(_variables(environment or {}) | dict(given or {}))), origins
    except ValidationError as error:
        raise origins.refusal(error) from None


def _variables(environment: Mapping[str, str]) -> dict[str, Given]:
    """The values that environment variables give; an empty one gives none."""
    return {
        field: Given(environment[option.variable], option.variable)
        for field, _, option in options()
        if option.variable and environment.get(option.variable)
    }
