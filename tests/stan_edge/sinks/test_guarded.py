"""A sink that fails costs the run nothing but itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.records import End, Record
from stan_edge.sinks.base import Guarded, Sink
from stan_edge.sources import Frame
from stan_edge.sources.scripted import Show

STEPS = ("turn", "record", "frame", "window", "timeline", "close")


class Failing(Sink):
    """Fails where it is told to, and counts what it is asked for after that."""

    def __init__(self, step: str, error: Exception) -> None:
        self.after = self.discarded = 0
        self._failed = False
        for name in STEPS:
            setattr(self, name, self._step(fails=name == step, error=error))

    def _step(self, *, fails: bool, error: Exception) -> Callable[..., None]:
        def call(*_: object) -> None:
            self.after += self._failed
            if fails:
                self._failed = True
                raise error

        return call

    def discard(self) -> None:
        self.discarded += 1


class Counting(Sink):
    def __init__(self) -> None:
        self.frames = 0
        self.records: list[Record] = []
        self.closed = False

    def record(self, record: Record) -> None:
        self.records.append(record)

    def frame(self, frame: Frame, region: object) -> None:
        self.frames += 1

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("step", STEPS)
def test_a_sink_that_fails_is_logged_once_and_left_out(
    run: Callable[..., End], noisy: Callable[..., np.ndarray], caplog: pytest.LogCaptureFixture, step: str
) -> None:
    failing, other = Failing(step, ZeroDivisionError("nobody thought of this")), Counting()
    end = run([Guarded(failing), Guarded(other)], Show(list(noisy(60, 190)), 10), live=False)
    assert (end.reason, end.failed, end.frames) == ("end_of_stream", False, 60)
    assert (other.frames, other.records[-1], other.closed) == (60, end, True)
    assert (failing.after, failing.discarded) == (0, 1)
    why = "ZeroDivisionError: nobody thought of this"
    assert caplog.messages == [f"Failing has failed ({why}) and is left out; the run goes on."]


@pytest.mark.parametrize("step", STEPS)
def test_a_sink_that_refuses_to_go_on_ends_the_run(
    run: Callable[..., End], noisy: Callable[..., np.ndarray], caplog: pytest.LogCaptureFixture, step: str
) -> None:
    refusing: Any = Failing(step, ConfigError("room.mp4 cannot be written."))
    with pytest.raises(ConfigError, match=r"room\.mp4"):
        run([Guarded(refusing)], Show(list(noisy(60, 190)), 10), live=False)
    assert refusing.discarded == 1
    assert caplog.messages == []
