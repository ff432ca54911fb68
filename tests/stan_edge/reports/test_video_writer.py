from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.reports.video_writer import VideoWriter, slots_of
from tests.stan_edge.full_disk import full_disk


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def levels_of(path: Path) -> list[float]:
    video, levels = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        levels.append(read[1].mean())
    return levels


def test_what_is_written_can_be_read_back_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 12.5) as video:
        for level in (0, 80, 160):
            video.write(gray(level), slots=2)
        assert not path.exists()  # not before it is whole
    assert levels_of(path) == pytest.approx([0, 0, 80, 80, 160, 160], abs=3)
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_colours_are_those_of_the_pictures(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 10) as video:
        video.write(np.full((48, 64, 3), (200, 40, 40), np.uint8))
    blue, _, red = cv2.VideoCapture(str(tmp_path / "clip.mp4")).read()[1].mean((0, 1))
    assert red - blue > 100


def test_a_picture_of_another_size_takes_the_size_of_the_first(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 10) as video:
        video.write(gray(50))
        video.write(gray(150, 100, 200))
    assert levels_of(tmp_path / "clip.mp4") == pytest.approx([50, 150], abs=6)


def test_without_a_picture_there_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing_behind_and_what_was_there_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"of before")
    video = VideoWriter(path, 10)
    with pytest.raises(KeyboardInterrupt), video:
        video.write(gray(50))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"of before"
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "clip.mp4", 10)
    with full_disk(), pytest.raises(OSError, match="0 of 30 pictures can be read back"), video:
        for picture in np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8):
            video.write(picture)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error_at_the_first_picture(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "nowhere" / "clip.mp4", 10)
    with pytest.raises(OSError, match="Permission denied"):
        video.write(gray(0))
    video.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_gap_shows_the_picture_before_it() -> None:
    assert slots_of([0.0, 0.1, 1.1, 1.2], 10) == [1, 10, 1, 1]


def test_of_several_pictures_in_one_slot_the_newest_is_shown() -> None:
    assert slots_of([0.0, 0.01, 0.02, 0.1, 0.2], 10) == [0, 0, 1, 1, 1]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=50), st.sampled_from([5.0, 12.5, 29.97]))
def test_a_video_is_as_long_as_what_it_shows(steps_s: Sequence[float], fps: float) -> None:
    times_s = np.cumsum(steps_s).tolist()
    slots = slots_of(times_s, fps)
    assert len(slots) == len(times_s)
    assert min(slots) >= 0
    assert sum(slots) == round((times_s[-1] - times_s[0]) * fps) + 1
