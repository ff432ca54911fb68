"""The configuration file of `stan-edge run`: its fields, the option that each of them sets, and the line it stands in.

A TOML file. Relative paths in it start from its own folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
)
from pydantic_core import ErrorDetails

from stan_edge.backends.base import Precision
from stan_edge.errors import ConfigError
from stan_edge.model.contract import Method
from stan_edge.person.anonymize import Privacy
from stan_edge.retention import LONGEST_AROUND_S
from stan_edge.sources import is_camera

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST_BYTES = 64 * 1024
"""Anything longer was written by no person."""

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Sets:
    """The parameter of `stan_edge.cli.run.command` that a field gives."""

    parameter: str


def _printable(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("holds a control character; write it in plain text")
    return text


def _file(value: Any, info: ValidationInfo[Path]) -> Any:
    if value == "":
        raise ValueError("is empty; write a path, or take the line out")
    return info.context / _printable(value) if isinstance(value, str) else value


def _source(value: Any, info: ValidationInfo[Path]) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000:
        return str(value)  # source = 0, the first camera
    if not isinstance(value, str) or not value or is_camera(_printable(value)):
        return value
    return str(info.context / value)


Text = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
File = Annotated[Path, BeforeValidator(_file)]


BackendName = Literal[
    "auto",
    "openvino",
    "onnxruntime",
    "tensorrt",
    "tensorrt-rtx",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "openvino-gpu",
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class CameraSection(_Section):
    """Where the pictures come from, and how they are looked at."""

    source: Annotated[Text | None, BeforeValidator(_source), Sets("camera")] = None
    source_file: Annotated[File | None, Sets("camera_file")] = None
    name: Annotated[Text | None, Sets("name")] = None
    wait: Annotated[bool, Sets("wait")] = False
    crop: Annotated[Text | None, Sets("crop")] = None
    person: Annotated[bool, Sets("person")] = True


class ModelSection(_Section):
    """What judges them, and on which engine."""

    folder: Annotated[File | None, Sets("model")] = None
    method: Annotated[Method | None, Sets("method")] = None
    explain_class: Annotated[Text | None, Sets("explain_class")] = None
    hop_s: Annotated[float | None, Field(gt=0), Sets("hop_s")] = None
    backend: Annotated[BackendName, Sets("backend")] = "auto"
    precision: Annotated[Precision, Sets("precision")] = "f32"
    threads: Annotated[int, Field(ge=0, le=1024), Sets("threads")] = 0
    allow_fallback: Annotated[bool, Sets("allow_fallback")] = False


class JournalSection(_Section):
    """What is kept on disk."""

    folder: Annotated[File | None, Sets("journal")] = None
    days: Annotated[float | None, Field(ge=0), Sets("journal_days")] = None
    megabytes: Annotated[float | None, Field(ge=1), Sets("journal_mb")] = None


class EvidenceSection(_Section):
    """What is shown of an event, and how people are hidden."""

    folder: Annotated[File | None, Sets("evidence")] = None
    around_s: Annotated[float | None, Field(ge=0, le=LONGEST_AROUND_S), Sets("evidence_s")] = None
    days: Annotated[float | None, Field(ge=0), Sets("evidence_days")] = None
    megabytes: Annotated[float | None, Field(ge=1), Sets("evidence_mb")] = None
    privacy: Annotated[Privacy | None, Sets("privacy")] = None


class MqttSection(_Section):
    """The broker that is told."""

    url: Annotated[Text | None, Sets("mqtt")] = None
    password_file: Annotated[File | None, Sets("mqtt_password_file")] = None
    ca: Annotated[File | None, Sets("mqtt_ca")] = None
    window_every_s: Annotated[float | None, Field(ge=0), Sets("mqtt_windows")] = None
    home_assistant: Annotated[bool, Sets("home_assistant")] = False


class WebhookSection(_Section):
    """The address that every event is posted to."""

    url: Annotated[Text | None, Sets("webhook")] = None
    secret_file: Annotated[File | None, Sets("webhook_secret_file")] = None


class OutboxSection(_Section):
    """Where undelivered messages outlast a restart."""

    folder: Annotated[File | None, Sets("outbox")] = None


class HttpSection(_Section):
    """Metrics and health."""

    listen: Annotated[Text | None, Sets("http")] = None


class LogSection(_Section):
    """What is printed."""

    json_lines: Annotated[bool, Sets("json_lines")] = False


class Schema(_Section):
    """All sections; none is needed, because a command line can give the rest."""

    camera: CameraSection = CameraSection()
    model: ModelSection = ModelSection()
    journal: JournalSection = JournalSection()
    evidence: EvidenceSection = EvidenceSection()
    mqtt: MqttSection = MqttSection()
    webhook: WebhookSection = WebhookSection()
    outbox: OutboxSection = OutboxSection()
    http: HttpSection = HttpSection()
    log: LogSection = LogSection()


_OfSeveral = create_model(
    "_OfSeveral", __base__=Schema, camera=(Annotated[list[CameraSection], Field(min_length=1)], ...)
)
"""The same with [[camera]] instead of [camera]."""

SECTIONS: dict[str, type[BaseModel]] = {name: type(field.default) for name, field in Schema.model_fields.items()}


@dataclass(frozen=True)
class Configuration:
    """A file that was read; its values have the right types, what they mean together is checked by `run`."""

    path: Path
    options: dict[str, Any]
    """By parameter of `run`, only what the file gives."""
    keys: dict[str, Key]
    """Where in the file each of them was given."""
    text: str
    cameras: tuple[CameraSection, ...] = ()
    """Every [[camera]]; empty with one [camera], which is in `options`."""

    def where(self, parameter: str) -> str:
        """File, line and field that set this parameter, as the beginning of a sentence."""
        return self._where(self.keys[parameter])

    def where_in_camera(self, number: int, field: str) -> str:
        """The same of a field of a [[camera]], counted from 0; of its table, where it does not have the field."""
        has = field in self.cameras[number].model_fields_set
        return self._where(("camera", number, field) if has else ("camera", number))

    def _where(self, key: Key) -> str:
        return f"{self.path}, line {line_of(self.text, key)}, {dotted(key)}"


def read_configuration(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or a field is unknown or wrong; line and field are named.
    """
    text = _read_text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib passes on those of int(), of dates, and of deep nesting
        place, reason = _parser_said(text, error)
        raise ConfigError(
            f"{path}{place}: this is not TOML ({reason}); "
            "text stands in quotes, a section in [brackets], each name once."
        ) from None
    several = isinstance(document.get("camera"), list)
    try:
        schema = (_OfSeveral if several else Schema).model_validate(document, context=path.absolute().parent)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        line, first = min((line_of(text, its["loc"]), number) for number, its in enumerate(wrong))
        field = dotted(wrong[first]["loc"])
        raise ConfigError(f"{path}, line {line}, {field}: {_sentence(wrong[first])}.") from None
    options: dict[str, Any] = {}
    keys: dict[str, Key] = {}
    cameras: Any = schema.camera if several else ()
    for key, parameter in fields():
        section = getattr(schema, key[0])
        if section is not cameras and key[1] in section.model_fields_set:
            options[parameter], keys[parameter] = getattr(section, key[1]), key
    return Configuration(path, options, keys, text, tuple(cameras))


def fields() -> Iterator[tuple[tuple[str, str], str]]:
    """Every field of the file (section and name) and the parameter of `run` that it gives."""
    for section, its in SECTIONS.items():
        for name, field in its.model_fields.items():
            yield (section, name), next(mark.parameter for mark in field.metadata if isinstance(mark, Sets))


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


_WRONG_TYPE = {
    "string_type": 'must be text; put it into "quotes"',
    "path_type": 'must be text; put it into "quotes"',
    "is_instance_of": 'must be text; put it into "quotes"',
    "string_too_short": "is empty; write a value, or take the line out",
    "too_short": "is empty; write [[camera]] above the fields of each camera",
    "bool_type": "must be true or false; write it without quotes",
    "int_type": "must be a whole number; write it without quotes",
    "float_type": "must be a number; write it without quotes",
    "finite_number": "must be a number; write it without quotes",
}


def _sentence(error: ErrorDetails) -> str:
    """What is wrong with a field and what to do; never its value, which may be a password in the wrong place."""
    kind = error["type"]
    if kind == "extra_forbidden":
        *section, name = error["loc"]
        known = list(SECTIONS[str(section[0])].model_fields) if section else list(SECTIONS)
        close = get_close_matches(str(name), known, 1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"is unknown; {meant}known here: {', '.join(known)}"
    if kind == "model_type":
        several = " (or [[camera]] for each of several)" if error["loc"][0] == "camera" else ""
        return f"must be one section; write [{error['loc'][0]}] above its fields, once{several}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    return _WRONG_TYPE.get(kind) or error["msg"].replace("Input should be", "must be") + "; change it"
