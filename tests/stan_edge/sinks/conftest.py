from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.faults.mosquitto import PROGRAM, Listener, Mosquitto
from stan_edge.records import Event, FrameScore, Phase, Start, WindowResult

CAMERA = "camera 0"
START = Start(CAMERA, "tiny", "d1gest", "onnxruntime", "f32", False, "gradcam", "blend", True)


def an_event(number: int, phase: Phase = "start", label: str = "falling") -> Event:
    return Event(CAMERA, number, phase, label, 3.1, 4.9, 0.97, (FrameScore(3.4, 102, 0.9, True),))


def a_window(number: int, label: str | None = "background", reason: str | None = None) -> WindowResult:
    probabilities = None if label is None else {label: 0.93}
    frames = (FrameScore(number / 5, number * 5, None, False),)
    valid, probability = label is not None, None if label is None else 0.93
    return WindowResult(
        CAMERA,
        number,
        number / 5,
        number / 5 + 2,
        valid,
        reason,
        label,
        probability,
        probabilities,
        frames,
        "tracked",
        60,
    )


@pytest.fixture
def said() -> list[str]:
    """What a sink says."""
    return []


@pytest.fixture
def broker_at(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts real brokers, with lines for their configuration."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    started: list[Mosquitto] = []

    def start(*settings: str, anonymous: bool = True) -> Mosquitto:
        started.append(Mosquitto(tmp_path / f"mosquitto-{len(started)}", *settings, anonymous=anonymous))
        started[-1].start()
        return started[-1]

    yield start
    for mosquitto in started:
        mosquitto.stop()


@pytest.fixture
def mosquitto(broker_at: Callable[..., Mosquitto]) -> Mosquitto:
    return broker_at()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    listening = Listener(mosquitto.port)
    yield listening
    listening.close()
