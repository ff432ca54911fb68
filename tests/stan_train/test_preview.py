"""Which clips a contact sheet shows, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import SourceError
from stan_edge.sources import Crop
from stan_train.manifest import Clip
from stan_train.preview import CELL_PX, GAP_PX, HEAD_PX, ROW_PX, STRIP_PX, TEXT_PX, WIDTH_PX, spread, write_previews
from stan_train.synthetic.dataset import write_video

CLIP = Clip(
    path=Path("1.mp4"),
    dataset="ntu",
    label="falling",
    subject="P001",
    group="S001P001R001",
    camera="C001",
    fps=10,
    frames=40,
    width_px=64,
    height_px=48,
    important=((0, 20),),
    ignored=((20, 30),),
    region="none",
    crop=Crop(64, 0, 64, 48),
)


def test_subjects_and_performances_take_turns():
    clips = [
        replace(CLIP, subject=subject, group=f"{subject} {replication}", camera=camera)
        for subject in ("P1", "P2")
        for replication in ("R1", "R2")
        for camera in ("C1", "C2")
    ]
    shown = spread(clips, 4)
    assert [clip.group for clip in shown] == ["P1 R1", "P2 R1", "P1 R2", "P2 R2"]
    assert spread(clips, 99) != clips
    assert set(spread(clips, 99)) == set(clips)


def sheet(tmp_path: Path, clip: Clip) -> np.ndarray:
    (path,) = write_previews([clip], tmp_path / "out", 3, lambda done, total: None)
    return cv2.imread(str(path))[..., ::-1].astype(int)


def test_cropped_frames_and_strip(tmp_path: Path):
    frames = np.full((40, 48, 128, 3), 20, np.uint8)
    frames[:, :, 64:] = (60, 200, 60)
    write_video(tmp_path / "1.mp4", frames, 10)
    picture = sheet(tmp_path, replace(CLIP, path=tmp_path / "1.mp4"))
    assert picture.shape == (HEAD_PX + ROW_PX, WIDTH_PX, 3)
    for column in range(8):
        left, top = GAP_PX + column * CELL_PX[0], HEAD_PX + TEXT_PX
        np.testing.assert_allclose(picture[top + 40, left + 80], (60, 200, 60), atol=25)
        framed = picture[top + 60, left + 1]
        assert (framed[0] > 200 and framed[1] < 100) == (column < 4)
    strip = picture[HEAD_PX + TEXT_PX + CELL_PX[1] + STRIP_PX - 2, GAP_PX : WIDTH_PX - GAP_PX]
    red, gray = (strip[:, 0] > 200), (strip[:, 0] == 150)
    half, three_quarters = len(strip) // 2, 3 * len(strip) // 4
    assert red[:half].all()
    assert gray[half:three_quarters].all()
    assert not (red | gray)[three_quarters:].any()


def test_frames_that_nobody_marked_are_not_framed(tmp_path: Path):
    write_video(tmp_path / "1.mp4", np.full((40, 48, 64, 3), 90, np.uint8), 10)
    picture = sheet(tmp_path, replace(CLIP, path=tmp_path / "1.mp4", important=None, ignored=(), crop=None))
    below = picture[HEAD_PX:]
    assert not ((below[..., 0] > 200) & (below[..., 1] < 100)).any()


def test_a_clip_shorter_than_its_row_says_is_refused(tmp_path: Path):
    write_video(tmp_path / "1.mp4", np.full((20, 48, 64, 3), 90, np.uint8), 10)
    with pytest.raises(SourceError, match="scan its folder again"):
        sheet(tmp_path, replace(CLIP, path=tmp_path / "1.mp4", crop=None))
