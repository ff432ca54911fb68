"""One configuration of a file, the environment and the command line, and where each of its values came from.

The command line wins over the environment, which wins over the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stan_edge.config.mistakes import sentence, unknown
from stan_edge.config.run_config import OPTIONS, RunConfig
from stan_edge.config.toml_file import Key, TomlFile, read_toml
from stan_edge.errors import ConfigError, StanEdgeError

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

    def __init__(self, file: TomlFile) -> None:
        self._file = file
        self._given: dict[Key, str | None] = {}

    def of(self, field: str) -> str | None:
        """The origin of a field by its dotted name; None: it has its default, or came as an argument."""
        section, *rest = (int(part) if part.isdecimal() else part for part in field.split("."))
        if section == "cameras" and not isinstance(rest[0], int):
            rest.insert(0, 0)  # said by one that does not know which it is, and is the only one
        return self._of((section, *rest))[1]

    def _of(self, place: Key) -> tuple[int, str | None]:
        """The line, 0 outside of the file, and the origin."""
        if place in self._given:
            return 0, self._given[place]
        key = self._file.key(place)
        return self._file.where(key) if key else (0, None)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors that leave the block begin with the origin of the value that they are about."""
        try:
            yield
        except StanEdgeError as error:
            if error.field and "." in error.field:
                origin, error.field = self.of(error.field), None
                error.args = (f"{origin}: {error}" if origin else str(error),)
            raise

    def merge(self, given: Mapping[str, Given]) -> dict[str, Any]:
        """The values of the file and those that win over them, in the form of a `RunConfig`.

        Raises:
            ConfigError: there are not as many names as cameras.
        """
        values = self._file.values()
        of_cameras: dict[str, Given] = {}
        for name, one in given.items():
            section, field = name.split(".")
            if section == "cameras":
                of_cameras[field] = one
            else:
                values[section] = self._merge_section(values.get(section, {}), (section,), {field: one})
        values["cameras"] = self._merge_cameras(values["cameras"], of_cameras)
        return values

    def _merge_section(self, section: Any, place: Key, given: Mapping[str, Given]) -> Any:
        if not isinstance(section, dict):  # it is refused
            return section
        self._given |= {(*place, field): one.origin for field, one in given.items()}
        return section | {field: one.value for field, one in given.items()}

    def _merge_cameras(self, cameras: list[Any], given: Mapping[str, Given]) -> list[Any]:
        each = [
            {field: Given(value, given[field].origin)}
            for field in ("source", "source_file")
            if field in given
            for value in given[field].value
        ]
        if each:  # instead of those of the file; what it says of its only one besides its source is for them, too
            if self._file.several:
                without = {name: content for name, content in self._file.document.items() if name != "camera"}
                self._file, cameras = replace(self._file, document=without), []
            common = cameras[0] if cameras and isinstance(cameras[0], dict) else {}
            common = {field: value for field, value in common.items() if field not in OF_ONE_CAMERA}
            cameras = [common for _ in each]
        names = given["name"].value if "name" in given else []
        if names and len(names) != len(cameras):
            raise ConfigError(
                f"{len(names)} names for {len(cameras)} cameras; give one for each, in the order of --camera, "
                "then --camera-file.",
                field="cameras.name",
            )
        for_all = {field: one for field, one in given.items() if field not in OF_ONE_CAMERA}
        each = each or [{} for _ in cameras]
        if names:
            each = [own | {"name": Given(name, given["name"].origin)} for own, name in zip(each, names, strict=True)]
        return [
            self._merge_section(camera, ("cameras", number), for_all | own)
            for number, (camera, own) in enumerate(zip(cameras, each, strict=True))
        ]

    def refusal(self, error: ValidationError) -> ConfigError:
        """The first mistake, by its line where it is one of the file; what was said elsewhere comes first."""
        found: list[tuple[int, int, str]] = []
        for number, one in enumerate(error.errors(include_url=False, include_input=False)):
            place: Key = tuple(one["ctx"]["field"].split(".")) if one["type"] == "together" else one["loc"]
            line, origin = self._of(place)
            text = sentence(one, cameras_in_file="camera" in self._file.document)
            found.append((line, number, f"{origin}: {text}." if origin else f"{text}."))
        return ConfigError(min(found)[2])


def load_config(
    path: Path | None = None, given: Mapping[str, Given] | None = None, environment: Mapping[str, str] | None = None
) -> tuple[RunConfig, Origins]:
    """Read a configuration.

    Args:
        path: TOML file; None: everything is in `given`.
        given: what wins over everything, by the dotted name of the field (`model.hop_s`, `cameras.crop`).
        environment: variables that win over the file; an empty one says nothing.

    Raises:
        ConfigError: the file cannot be read, or a value is unknown or wrong. The sentence begins with where it was
            given: file, line and field, the flag, or the variable.
    """
    file = read_toml(path) if path else TomlFile(Path(), "", {})
    if "cameras" in file.document:
        raise ConfigError(f"{file.where(('cameras',))[1]}: {unknown('cameras', None)}.")
    variables = {
        field: Given(environment[option.variable], option.variable)
        for field, (_, option) in OPTIONS.items()
        if environment and option.variable and environment.get(option.variable)
    }
    origins = Origins(file)
    try:
        values = origins.merge(variables | dict(given or {}))
        return RunConfig.model_validate(values, context={"folder": path.absolute().parent} if path else None), origins
    except ValidationError as error:
        raise origins.refusal(error) from None
