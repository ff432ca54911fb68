"""What a video really holds, or why it is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import SourceError
from stan_edge.sources import VideoFile
from stan_train import probe as module
from stan_train.probe import Probe, probe


def write(path: Path, frames: int, fps: float = 12.5, codec: str = "mp4v") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "FFV1"), ("a.mkv", "FFV1")])
def test_counts_frames_and_knows_rate_and_size(tmp_path: Path, name: str, codec: str):
    assert probe(write(tmp_path / name, 17, codec=codec)) == Probe(12.5, 17, 64, 48)


def test_as_many_frames_as_training_will_see(tmp_path: Path):
    path = write(tmp_path / "a.mp4", 9)
    source, count = VideoFile(path), 0
    while source.read() is not None:
        count += 1
    assert probe(path).frames == count == 9


def test_one_frame_is_no_video(tmp_path: Path):
    with pytest.raises(SourceError, match="one frame is no video"):
        probe(write(tmp_path / "a.mp4", 1))


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"no video at all" * 99, "not a video that can be decoded")]
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=says):
        probe(path)


def test_missing_and_cut_files_are_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="does not exist"):
        probe(tmp_path / "a.mp4")
    whole = write(tmp_path / "a.avi", 60, codec="FFV1").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cut off"):
        probe(cut)


@pytest.mark.parametrize("claimed", [0.0, 90_000.0, float("nan")])
def test_an_unknown_rate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: float):
    path = write(tmp_path / "a.mp4", 5)
    monkeypatch.setattr(module, "_nominal_fps", lambda path: claimed)
    with pytest.raises(SourceError, match="how many frames it shows in a second"):
        probe(path)


def test_times_of_the_frames_outvote_a_wrong_nominal_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "a.mp4", 26)
    monkeypatch.setattr(module, "_nominal_fps", lambda path: 30.0)
    assert probe(path).fps == pytest.approx(12.5, rel=1e-3)
