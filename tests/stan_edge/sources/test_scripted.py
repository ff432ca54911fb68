"""Scripts play the same way every time."""

from __future__ import annotations

import threading
import time

import pytest

from stan_edge.errors import ConfigError, SourceStalledError
from stan_edge.sources.scripted import Black, Damage, Duplicate, Fail, Freeze, Gap, Jump, ScriptedSource, Show
from tests.stan_edge.sources.conftest import frames_of, picture


def test_a_script_plays_in_virtual_time() -> None:
    error = SourceStalledError("gone")
    source = ScriptedSource(
        [
            Show([picture(10), picture(20)], fps=10),
            Gap(1.0),
            Freeze(0.2, fps=10),
            Fail(error),
            Black(0.1, fps=20),
            Show(lambda t_s: picture(round(t_s * 10)), fps=10, duration_s=0.3),
            Show([picture(1), picture(2)], fps=10, duration_s=0.3),
        ]
    )
    assert source.live
    before = [source.read() for _ in range(4)]
    with pytest.raises(SourceStalledError):
        source.read()
    frames = [frame for frame in [*before, *frames_of(source)] if frame is not None]
    times = [0, 0.1, 1.2, 1.3, 1.4, 1.45, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
    assert [frame.t_capture_s for frame in frames] == pytest.approx(times)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 20, 20, 20, 0, 0, 15, 16, 17, 1, 2, 1]
    assert [frame.index for frame in frames] == list(range(12))
    assert source.read() is None


@pytest.mark.parametrize(
    "step", [Show([picture(0)], fps=0), Show(lambda t_s: picture(0), fps=10), Gap(-1), Black(1, fps=-2)]
)
def test_a_script_that_cannot_be_played_is_refused(step: Show | Gap | Black) -> None:
    with pytest.raises(ConfigError):
        ScriptedSource([step])


def test_a_realtime_script_keeps_its_times_and_wakes_on_close() -> None:
    source = ScriptedSource([Show([picture(0)] * 3, fps=20), Gap(60.0)], realtime=True)
    started_s = time.monotonic()
    for _ in range(3):
        assert source.read() is not None
    assert time.monotonic() - started_s >= 0.099
    threading.Timer(0.05, source.close).start()
    assert source.read() is None  # not after 60 s


def test_duplicates_damage_and_jumps_can_be_scripted() -> None:
    source = ScriptedSource(
        [
            Show([picture(10), picture(20)], fps=10),
            Duplicate(0.2, fps=10),
            Damage(0.2, fps=10),
            Jump(100.0),
            Show([picture(30)], fps=10),
            Jump(-200.0),
            Show([picture(40)], fps=10),
        ]
    )
    frames = frames_of(source)
    assert [frame.index for frame in frames] == [0, 1, 1, 1, 2, 3, 4, 5]
    assert [frame.t_capture_s for frame in frames] == pytest.approx([0, 0.1, 0.1, 0.1, 0.4, 0.5, 100.6, -99.3])
    assert [frame.damaged for frame in frames] == [False] * 4 + [True] * 2 + [False] * 2
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10, 20, 20, 20, 20, 20, 30, 40]
