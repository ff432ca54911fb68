"""What the runtime says, as typed records; `to_json` gives the documented JSON lines.

Two records are equal when they say the same of the same frames; what they are called in which run does not count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from stan_edge.model.contract import Method

Phase = Literal["start", "update", "end"]
CameraState = Literal["connecting", "online", "stalled", "lost"]
LoadLevel = Literal[
    "full", "half_rate_detection", "cheaper_method", "explain_every_second", "labels_only", "every_second_window"
]
SCHEMA = 2


@dataclass(frozen=True)
class Start:
    """First record of a camera: what runs, and where."""

    camera: str
    model: str
    model_digest: str
    backend: str
    precision: str
    fallback: bool
    method: str
    view: str
    calibrated: bool
    run: str = field(compare=False)
    """Names this run; events are called after it. The same recording, run in the same way, has the same."""
    live: bool = field(compare=False)
    hop_s: float
    target_class: str | None
    """The class that every window explains; None: each explains its own label."""
    crop: str | None
    """`x,y,width,height`; None: the whole picture."""
    person: bool
    """The person is looked for; False: the whole frame is taken."""

    def to_json(self) -> dict[str, Any]:
        return {"type": "start", "schema": SCHEMA, **self.__dict__}


@dataclass(frozen=True)
class Status:
    """A camera's connection has changed."""

    camera: str
    state: CameraState
    """`connecting`: still not there, for another reason than before; `stalled`: open, but no frame for a while;
    `lost`: the connection broke, and is made again for ever."""
    reason: str | None
    attempt: int
    """How often it has been opened since it was lost, or since the start."""
    t_s: float
    """Seconds since the first frame; 0 before it."""

    def to_json(self) -> dict[str, Any]:
        return {"type": "status"} | _json(self.__dict__)


@dataclass(frozen=True)
class Load:
    """More or less is done for a camera's windows from here on, so that they stay on time."""

    camera: str
    level: LoadLevel
    """`full`: all that was asked for; `half_rate_detection`: the person is looked for half as often; `cheaper_method`:
    windows are explained by a cheaper method; `explain_every_second`: every second window is explained; `labels_only`:
    none is; `every_second_window`: every second window is shed. Each level leaves out what those before it do."""
    method: Method | None
    """Explains what is explained; None: nothing is."""
    reason: str
    t_s: float
    """Seconds since the first frame."""

    def to_json(self) -> dict[str, Any]:
        return {"type": "load"} | _json(self.__dict__)


@dataclass(frozen=True)
class FrameScore:
    """One frame of a window; `score` is its importance in [0, 1], None when the window was not explained."""

    t_s: float
    index: int
    score: float | None
    important: bool


@dataclass(frozen=True)
class WindowResult:
    """The verdict on one window; label and probabilities are None when it is not valid."""

    camera: str
    window: int
    t_start_s: float
    t_end_s: float
    valid: bool
    reason: str | None
    label: str | None
    probability: float | None
    probabilities: dict[str, float] | None
    frames: tuple[FrameScore, ...]
    person: Literal["tracked", "held", "none"]
    latency_ms: float
    """From the arrival of the frame that completed the window to its result."""
    target_class: str | None = None
    """The class that every window explains; None: each explains its own label."""
    method: Method | None = None
    """What it was explained by; None: it was not, and no frame has a score."""

    @property
    def explained_class(self) -> str | None:
        """The class whose importance `frames` hold; None when it was not explained."""
        return None if self.method is None else self.target_class or self.label

    def to_json(self) -> dict[str, Any]:
        fields = _json(self.__dict__)
        explained = {"explained_class": self.explained_class, "method": self.method}
        rest = {"frames": fields["frames"], "person": self.person, "latency_ms": round(self.latency_ms, 1)}
        for key in (*rest, "method", "target_class"):
            del fields[key]
        return {"type": "window"} | fields | explained | rest


@dataclass(frozen=True)
class Event:
    """An alarm class was seen; `start`, then `update`s while it lasts, then `end`."""

    camera: str
    event: int
    phase: Phase
    label: str
    t_start_s: float
    t_end_s: float
    peak_probability: float
    important_frames: tuple[FrameScore, ...]
    id: str | None = field(default=None, compare=False)
    """The same from start to end and no other event's, also after a restart; given by the runtime."""

    def to_json(self) -> dict[str, Any]:
        fields = _json(self.__dict__)
        for frame in fields["important_frames"]:
            del frame["important"]
        name = {} if fields.pop("id") is None else {"id": self.id}
        return {"type": "event"} | name | fields


@dataclass(frozen=True)
class WindowCounts:
    """What became of the windows that were due."""

    done: int = 0
    invalid: int = 0
    shed: int = 0
    unexplained: int = 0
    """Of those done: only labelled, for want of time."""

    @property
    def due(self) -> int:
        return self.done + self.invalid + self.shed


@dataclass(frozen=True)
class End:
    """Last record of a camera. `reason` is `end_of_stream`, `stopped`, or the sentence of the error."""

    camera: str
    reason: str
    frames: int
    windows: WindowCounts
    dropped: dict[str, int] = field(default_factory=dict)
    """Pictures lost, by cause: `slow` (nobody took them in time), `duplicate` (the same frame again), `damaged`."""
    failed: bool = False
    """The source failed; `reason` says how."""

    def to_json(self) -> dict[str, Any]:
        fields = _json(self.__dict__) | {"windows": {"due": self.windows.due, **self.windows.__dict__}}
        del fields["failed"]
        return {"type": "end"} | fields


Record = Start | Status | Load | WindowResult | Event | End


def _json(value: Any) -> Any:
    """Frames as objects; times, scores and probabilities to four decimals."""
    match value:
        case float():
            return round(value, 4)
        case tuple():
            return [_json(one) for one in value]
        case dict():
            return {key: _json(one) for key, one in value.items()}
        case FrameScore():
            return _json(value.__dict__)
    return value


def time_of_day(moment: datetime | None = None) -> str:
    """ISO 8601 with milliseconds and zone, as every `at` has it; without a moment: now, in UTC."""
    return (moment or datetime.now(timezone.utc)).isoformat(timespec="milliseconds")


def to_line(record: Record, at: str | None = None, *, fallback: bool = False) -> str:
    """One JSON line.

    Args:
        at: `time_of_day`, for live sources.
        fallback: another backend than the one asked for made it; then every line says so.
    """
    extra: dict[str, Any] = {} if at is None else {"at": at}
    if fallback:
        extra["fallback"] = True
    return json.dumps(record.to_json() | extra, ensure_ascii=False, allow_nan=False)
