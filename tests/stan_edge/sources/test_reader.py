"""The reader never waits, keeps the newest frames, and says when its source is silent."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stan_edge.clock import SimulatedClock
from stan_edge.errors import SourceDecodeError
from stan_edge.records import Status
from stan_edge.sources import Frame, Reader, open_source
from stan_edge.sources.scripted import Duplicate, Fail, Gap, ScriptedSource, Show
from tests.stan_edge.sources.conftest import picture, write_video


def test_reader_hands_over_everything_when_it_has_room() -> None:
    with closing(Reader(ScriptedSource([Show([picture(k) for k in range(20)], fps=10)]), max_frames=20)) as reader:
        indices = [frame.index for frame in iter(lambda: reader.get(5.0), None)]
        assert indices == list(range(20))
        assert (reader.dropped, reader.ended) == (0, True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 12), st.lists(st.integers(0, 3), max_size=10))
def test_every_frame_is_taken_or_counted_as_dropped_oldest_first(count: int, max_frames: int, takes: list[int]) -> None:
    with closing(Reader(ScriptedSource([Show([picture(0, 4, 4)] * count, fps=10)]), max_frames)) as reader:
        taken: list[int] = []
        for take in takes:
            for _ in range(take):
                frame = reader.get(0.001)
                taken += [] if frame is None else [frame.index]
        taken += [frame.index for frame in iter(lambda: reader.get(5.0), None)]
        assert reader.ended
        assert taken == sorted(set(taken))
        assert len(taken) + reader.dropped == count
        assert taken[-max_frames:] == list(range(count))[-max_frames:][-len(taken[-max_frames:]) :]


def test_reader_gives_the_error_after_the_frames_before_it() -> None:
    script = ScriptedSource([Show([picture(0)] * 3, fps=10), Fail(SourceDecodeError("broken"))])
    with closing(Reader(script, max_frames=10)) as reader:
        assert [frame.index for frame in (reader.get(5.0) for _ in range(3)) if frame] == [0, 1, 2]
        for _ in range(2):
            with pytest.raises(SourceDecodeError, match="broken"):
                reader.get(5.0)
        assert reader.ended


def test_reader_returns_none_when_nothing_comes_in_time() -> None:
    script = ScriptedSource([Show([picture(0)], fps=10), Gap(60.0)], realtime=True)
    with closing(Reader(script, max_frames=4)) as reader:
        assert reader.get(5.0) is not None
        assert reader.anchor_s is not None and abs(time.monotonic() - reader.anchor_s) < 5
        assert reader.get(0.05) is None
        assert not reader.ended


def test_readers_leave_no_threads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 50)
    before = threading.active_count()
    for _ in range(10):
        reader = Reader(open_source(str(path), realtime=True), max_frames=2)
        assert reader.get(5.0) is not None
        reader.close()
        reader.close()
    assert threading.active_count() == before


def test_the_buffer_is_bounded_in_bytes_and_keeps_the_newest() -> None:
    frame_bytes = 64 * 64 * 3
    script = ScriptedSource([Show([picture(k, 64, 64) for k in range(50)], fps=10)])
    with closing(Reader(script, max_frames=100, max_bytes=4 * frame_bytes)) as reader:
        while not reader._finished:
            time.sleep(0.001)
        assert reader._bytes == 4 * frame_bytes
        assert [frame.index for frame in iter(lambda: reader.get(5.0), None)] == [46, 47, 48, 49]
        assert (reader.dropped, reader._bytes) == (46, 0)


def test_one_picture_is_kept_however_large_it_is() -> None:
    script = ScriptedSource([Show([picture(k, 64, 64) for k in range(5)], fps=10)])
    with closing(Reader(script, max_frames=100, max_bytes=1)) as reader:
        assert [frame.index for frame in iter(lambda: reader.get(5.0), None)][-1] == 4


def test_silence_is_reported_once_within_two_seconds_and_so_is_its_end() -> None:
    clock = SimulatedClock(threads=2)
    script = [Show([picture(0)] * 10, fps=10), Gap(30.0), Show([picture(0)] * 10, fps=10)]
    source = ScriptedSource(script, realtime=True, name="room", clock=clock)
    said = []
    with closing(Reader(source, max_frames=100, clock=clock)) as reader:
        while not reader.ended:
            item = reader.get(0.2)
            if isinstance(item, Status):
                said.append((clock.now_s(), item))
    assert [(status.camera, status.state, status.attempt) for _, status in said] == [
        ("room", "stalled", 0),
        ("room", "online", 0),
    ]
    assert 0.9 + 1.5 <= said[0][0] < 0.9 + 2.0
    assert said[1][0] == pytest.approx(31.0)
    assert [status.t_s for _, status in said] == pytest.approx([at_s for at_s, _ in said])


def test_a_source_that_has_not_begun_has_not_stalled() -> None:
    clock = SimulatedClock(threads=2)
    source = ScriptedSource([Gap(30.0), Show([picture(0)], fps=10)], realtime=True, clock=clock)
    with closing(Reader(source, max_frames=100, clock=clock)) as reader:
        items = list(iter(lambda: reader.get(60.0), None))
    assert [type(item) for item in items] == [Frame]


def test_the_same_frame_again_is_counted_and_no_sign_of_life() -> None:
    clock = SimulatedClock(threads=2)
    script = [Show([picture(0)] * 10, fps=10), Duplicate(3.0, fps=10), Show([picture(0)] * 10, fps=10)]
    source = ScriptedSource(script, realtime=True, clock=clock)
    items = []
    with closing(Reader(source, max_frames=100, clock=clock)) as reader:
        while not reader.ended:
            items.append(reader.get(0.2))
        assert reader.duplicates == 30
    assert [item.index for item in items if isinstance(item, Frame)] == list(range(20))
    assert [item.state for item in items if isinstance(item, Status)] == ["stalled", "online"]


def test_a_source_that_hangs_does_not_hold_up_the_end() -> None:
    released = threading.Event()

    class Hanging(ScriptedSource):
        def read(self) -> Frame | None:
            released.wait(30)  # as a native call that cannot be interrupted
            return None

    reader = Reader(Hanging([]), max_frames=2)
    started_s = time.monotonic()
    reader.close()
    assert time.monotonic() - started_s < 1.0
    released.set()
