from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stan_edge.records import End, Event, FrameScore, Load, Start, Status, WindowCounts, WindowResult, to_line

START = Start(
    "cam",
    "stan-t",
    "sha256:00",
    "openvino",
    "f32",
    False,
    "vanilla",
    "blend",
    True,
    "1f",
    False,
    0.2,
    None,
    "0,0,64,48",
    True,
)
WINDOW = WindowResult(
    camera="cam",
    window=3,
    t_start_s=0.6,
    t_end_s=2.6,
    valid=True,
    reason=None,
    label="falling",
    probability=0.912345,
    probabilities={"background": 0.087655, "falling": 0.912345},
    frames=(FrameScore(0.6, 18, 0.123456, False), FrameScore(0.7, 21, 0.9, True)),
    person="tracked",
    latency_ms=12.345,
    method="vanilla",
)
INVALID = WindowResult(
    "cam", 4, 0.8, 2.8, False, "gap", None, None, None, (FrameScore(0.8, 24, None, False),), "none", 1
)
EVENT = Event("cam", 0, "start", "falling", 1.0, 2.33333, 0.95555, (FrameScore(1.2, 36, 0.8, True),))
STATUS = Status("cam", "lost", "cam cannot be reached.", 3, 12.345678)
LOAD = Load("cam", "cheaper_method", "gradcam", "windows were late for 1 s", 12.345678)
END = End("cam", "end_of_stream", 90, WindowCounts(18, 2, 1), {"slow": 4})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            START,
            {
                "type": "start",
                "schema": 2,
                "camera": "cam",
                "model": "stan-t",
                "model_digest": "sha256:00",
                "backend": "openvino",
                "precision": "f32",
                "fallback": False,
                "method": "vanilla",
                "view": "blend",
                "calibrated": True,
                "run": "1f",
                "live": False,
                "hop_s": 0.2,
                "target_class": None,
                "crop": "0,0,64,48",
                "person": True,
            },
        ),
        (
            STATUS,
            {
                "type": "status",
                "camera": "cam",
                "state": "lost",
                "reason": "cam cannot be reached.",
                "attempt": 3,
                "t_s": 12.3457,
            },
        ),
        (
            WINDOW,
            {
                "type": "window",
                "camera": "cam",
                "window": 3,
                "t_start_s": 0.6,
                "t_end_s": 2.6,
                "valid": True,
                "reason": None,
                "label": "falling",
                "probability": 0.9123,
                "probabilities": {"background": 0.0877, "falling": 0.9123},
                "explained_class": "falling",
                "method": "vanilla",
                "frames": [
                    {"t_s": 0.6, "index": 18, "score": 0.1235, "important": False},
                    {"t_s": 0.7, "index": 21, "score": 0.9, "important": True},
                ],
                "person": "tracked",
                "latency_ms": 12.3,
            },
        ),
        (
            INVALID,
            {
                "type": "window",
                "camera": "cam",
                "window": 4,
                "t_start_s": 0.8,
                "t_end_s": 2.8,
                "valid": False,
                "reason": "gap",
                "label": None,
                "probability": None,
                "probabilities": None,
                "explained_class": None,
                "method": None,
                "frames": [{"t_s": 0.8, "index": 24, "score": None, "important": False}],
                "person": "none",
                "latency_ms": 1,
            },
        ),
        (
            LOAD,
            {
                "type": "load",
                "camera": "cam",
                "level": "cheaper_method",
                "method": "gradcam",
                "reason": "windows were late for 1 s",
                "t_s": 12.3457,
            },
        ),
        (
            EVENT,
            {
                "type": "event",
                "camera": "cam",
                "event": 0,
                "phase": "start",
                "label": "falling",
                "t_start_s": 1.0,
                "t_end_s": 2.3333,
                "peak_probability": 0.9556,
                "important_frames": [{"t_s": 1.2, "index": 36, "score": 0.8}],
            },
        ),
        (
            END,
            {
                "type": "end",
                "camera": "cam",
                "reason": "end_of_stream",
                "frames": 90,
                "windows": {"due": 21, "done": 18, "invalid": 2, "shed": 1, "unexplained": 0},
                "dropped": {"slow": 4},
            },
        ),
    ],
    ids=["start", "status", "window", "invalid window", "load", "event", "end"],
)
def test_a_record_is_this_json_and_nothing_else(record: object, expected: dict[str, object]) -> None:
    line = to_line(record)
    assert "\n" not in line
    assert json.loads(line) == expected


def test_an_event_that_a_runtime_has_named_carries_its_name() -> None:
    assert json.loads(to_line(replace(EVENT, id="1f-0"))) == json.loads(to_line(EVENT)) | {"id": "1f-0"}


def test_live_records_carry_the_time_of_day() -> None:
    assert json.loads(to_line(END, "2025-01-01T00:00:00.000+00:00"))["at"] == "2025-01-01T00:00:00.000+00:00"


def test_a_number_that_json_does_not_have_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_line(Event("cam", 0, "start", "falling", 0.0, float("nan"), 0.9, ()))


def test_names_stay_readable() -> None:
    assert "küche" in to_line(End("küche", "stopped", 0, WindowCounts()))
