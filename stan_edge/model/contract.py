"""What a model expects and means: the typed JSON that travels with the weights.

Nothing here has a silent default for meaning: a field that is missing or of the wrong type is refused
with its name, because names, thresholds and preprocessing lost on export are how good models go wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stan_edge.errors import ConfigError, ContractError

SCHEMA = 2

View = Literal["global", "local", "blend", "union", "late"]
RegionKind = Literal["box", "mask"]
Method = Literal["gradcam", "staa-grad", "vanilla", "smoothgrad", "streaming", "staa"]
METHODS: tuple[Method, ...] = ("gradcam", "staa-grad", "vanilla", "smoothgrad", "streaming", "staa")
Form = Literal["volumes", "planes"]
FORMS: tuple[Form, ...] = ("volumes", "planes")
"""How the graphs may be written, the standard one first: with the same numbers for different engines."""
PROVEN: tuple[Method, ...] = METHODS[:2]
"""Those that beat chance with the shipped model (bench/results/faithfulness.md); the others are experimental."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(gt=0.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class InputSpec(_Strict):
    """How a window of frames becomes the network's input."""

    frames: int = Field(ge=2)
    """Frames in a window, evenly spaced in capture time."""
    window_s: Seconds
    """Time a window spans; frame k is taken at `k * window_s / frames` from its start."""
    size_px: int = Field(ge=32)
    """Side of the square network input."""
    view: View
    framing: Literal["letterbox", "follow"]
    """`letterbox`: the whole frame on black; `follow`: a square around the person, fixed during a window."""
    region: RegionKind
    """What the local view keeps: everything in the person's box, or the person's own pixels where they are known."""
    mean: float
    std: float = Field(gt=0)
    """`(frame / 255 - mean) / std`, done inside the graph."""

    @property
    def tick_s(self) -> float:
        """Spacing of the frames of a window in seconds."""
        return self.window_s / self.frames

    def hop_ticks(self, hop_s: float) -> int:
        """The distance between windows in ticks.

        Raises:
            ConfigError: it is not a positive multiple of the tick, or leaves frames between windows.
        """
        ticks = round(hop_s / self.tick_s) if math.isfinite(hop_s) else 0
        if not 1 <= ticks <= self.frames or abs(ticks * self.tick_s - hop_s) > 1e-6:
            raise ConfigError(
                f"{hop_s:g} s must be a multiple of {self.tick_s:g} s, from {self.tick_s:g} to {self.window_s:g} s.",
                field="model.hop_s",
            )
        return ticks


class MethodSpec(_Strict):
    """How the raw frame scores of one attribution method become importance."""

    class_specific: bool
    dealias: bool
    """Filter with [1, 2, 1] / 4: the stem's stride makes odd frames weigh more, whatever they show."""
    profile: tuple[float, ...]
    """Mean (de-aliased) score of each window position on clips where nothing moves; scores are divided by it."""
    cell_px: int = Field(ge=1)
    """Side of a cell of the space-time map in network pixels; cells start at the upper left corner."""
    scale: tuple[float, float] | None
    """5th and 95th percentile of the training scores, mapped to 0 and 1; None: not calibrated, scaled per window."""
    thresholds: dict[str, Probability]
    """By class, all but the background: a frame whose importance reaches this is important."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Noisy copies that the graphs of `smoothgrad` and `streaming` take; None for the other methods."""


class EventSpec(_Strict):
    """Hysteresis that turns window probabilities into events."""

    enter: Probability
    leave: Probability
    min_duration_s: float = Field(ge=0)
    merge_gap_s: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> EventSpec:
        if self.leave > self.enter:
            raise ValueError(f"leave ({self.leave}) must not exceed enter ({self.enter})")
        return self


class CalibrationRecord(_Strict):
    """What temperature, scales, thresholds and events were chosen on, and how well they did there."""

    data: str
    """Name of the manifest."""
    data_sha256: str
    """SHA-256 over the sorted (file digest, label, intervals) of the clips."""
    clips: int = Field(ge=1)
    windows: int = Field(ge=1)
    """Valid windows whose label is known."""
    minutes: float = Field(gt=0)
    false_alarms_per_hour_target: float = Field(gt=0)
    nll_before: float
    nll_after: float
    """Mean negative log-likelihood (nats a window) at temperature 1 and at the one chosen."""
    figures: dict[str, dict[str, float | None]]
    """By alarm: events, found, delay, false alarms; None where the data could not say."""


class Contract(_Strict):
    """Everything a runtime must know about a model besides its weights."""

    schema_version: Literal[2]
    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    background: str | None
    """The class that means nothing that matters is happening; None for models without one."""
    alarms: tuple[str, ...]
    """Classes whose start raises an event."""
    input: InputSpec
    hop_s: Seconds
    """Default distance between windows; a multiple of the tick."""
    temperature: float = Field(gt=0)
    """Logits are divided by this before softmax."""
    methods: dict[Method, MethodSpec] = Field(min_length=1)
    events: dict[str, EventSpec]
    """By class, exactly the alarms."""
    calibration: CalibrationRecord | None
    """None: not calibrated on a manifest."""
    provenance: dict[str, str]
    """Free text about training: data, command, figures, limits."""
    forms: dict[str, Form] = {}
    """By engine and precision (`onnxruntime f32`): the form of the graphs that was fastest at export. Others take the
    standard one."""

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes holds a name twice")
        for field, names in (("alarms", self.alarms), ("background", (self.background,))):
            for name in names:
                if name is not None and name not in self.classes:
                    raise ValueError(f"{field} names {name!r}, which is not one of classes")
        try:
            self.input.hop_ticks(self.hop_s)
        except ConfigError as error:
            raise ValueError(f"hop_s {str(error).rstrip('.')}") from error
        if self.background in self.alarms:
            raise ValueError("background cannot be one of alarms")
        _need_exactly("events", self.events, self.alarms, "alarms")
        shown = tuple(name for name in self.classes if name != self.background)
        for method, spec in self.methods.items():
            _need_exactly(f"methods.{method}.thresholds", spec.thresholds, shown, "classes other than background")
            noisy = {"smoothgrad": spec.samples is not None, "streaming": spec.samples == 1}
            if not noisy.get(method, spec.samples is None):
                raise ValueError(
                    f"methods.{method}.samples is {spec.samples}; smoothgrad has a number, streaming 1, others none"
                )
            if len(spec.profile) != self.input.frames:
                raise ValueError(
                    f"methods.{method}.profile has {len(spec.profile)} values for {self.input.frames} frames"
                )
            if not all(value > 0 for value in spec.profile):
                raise ValueError(f"methods.{method}.profile holds a value that is not positive")
            if spec.scale is not None and not spec.scale[0] < spec.scale[1]:
                raise ValueError(f"methods.{method}.scale must rise from low to high")
        return self


def shown_class(contract: Contract, name: str | None) -> str | None:
    """The class itself, where its frames can be important; None stays.

    Raises:
        ConfigError: the model has no such class, or it is the background.
    """
    shown = [label for label in contract.classes if label != contract.background]
    if name not in (None, *shown):
        raise ConfigError(f"The class to explain: {name!r} is not one of {', '.join(shown)}; choose one.")
    return name


def _need_exactly(field: str, given: Iterable[str], needed: tuple[str, ...], what: str) -> None:
    if set(given) != set(needed):
        raise ValueError(f"{field} has {sorted(given)}, it must have the {what} {sorted(needed)}")


def read_contract(path: Path) -> Contract:
    """Read and check a contract.

    Raises:
        ContractError: it is missing, not JSON, of another schema, or a field is wrong (the field is named).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: cannot be read ({error}); export the bundle again.") from error
    try:
        return Contract.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if field == "schema_version":
            raise ContractError(
                f"{path}: schema_version {first['input']!r} is not {SCHEMA}, the one this stan-edge reads; "
                "export the bundle again or install the stan-edge that wrote it."
            ) from error
        where = f"field {field!r}: " if field else ""
        raise ContractError(f"{path}: {where}{first['msg']}; export the bundle again.") from error


def write_contract(path: Path, contract: Contract) -> None:
    """Write a contract as JSON that a person can read and `diff`."""
    path.write_text(contract.model_dump_json(indent=2) + "\n", encoding="utf-8")
