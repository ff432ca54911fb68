"""A folder a class, and what all formats have in common."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_train.datasets import FORMATS, detect, scan
from tests.stan_train.datasets.conftest import Make, ScanFolder, reasons


def test_classes_and_subjects(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("falling/anna/1.mp4")
    make("falling/2.mkv", fps=25)
    make("background/3.avi", size=(32, 64))
    np.savez(tmp_path / "falling/2.regions.npz", boxes=np.zeros((20, 4), np.float32))
    found = scanned()
    assert (found.format, found.refusals) == ("folders", ())
    rows = {clip.path.name: clip for clip in found.clips}
    assert (rows["1.mp4"].subject, rows["1.mp4"].group, rows["1.mp4"].important) == ("anna", "anna", None)
    assert (rows["2.mkv"].subject, rows["2.mkv"].group, rows["2.mkv"].fps) == ("unknown", "falling/2.mkv", 25)
    assert rows["2.mkv"].region == "sidecar"
    assert (rows["3.avi"].important, rows["3.avi"].width_px, rows["3.avi"].height_px) == ((), 32, 64)


def test_folders_may_be_links_even_to_one_above(make: Make, scanned: ScanFolder, tmp_path: Path):
    make(".disk/anna/1.mp4")
    make("background/2.mp4")
    (tmp_path / "falling").symlink_to(tmp_path / ".disk")
    (tmp_path / "background" / "up").symlink_to(tmp_path)
    found = scanned("folders")
    assert [clip.path.relative_to(tmp_path).as_posix() for clip in found.clips] == [
        "background/2.mp4",
        "falling/anna/1.mp4",
    ]


def test_whatever_is_no_clip_is_named(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("falling/1.mp4")
    make("falling/.hidden.mp4")
    make("top.mp4")
    make("a/b/c/deep.mp4")
    make("Chest Pain/2.mp4")
    (tmp_path / "falling/damaged.MP4").write_bytes(b"not a video")
    (tmp_path / "falling/one.zip").write_bytes(b"x")
    shutil.copy(tmp_path / "falling/1.mp4", tmp_path / "falling/caf\udce9.mp4")
    (tmp_path / "frames").mkdir()
    for k in range(3):
        (tmp_path / f"frames/{k}.png").write_bytes(b"x")
    found = scanned()
    assert [clip.path.name for clip in found.clips] == ["1.mp4"]
    says = reasons(found)
    assert set(says) == {"top.mp4", "deep.mp4", "2.mp4", "damaged.MP4", "caf\udce9.mp4", "*.zip", "*.png"}
    assert "write it like chest_pain" in says["2.mp4"]
    assert "3 files that folders does not read" in says["*.png"]


def test_progress_ends_at_the_number_of_videos(make: Make, tmp_path: Path):
    make("falling/1.mp4")
    make("falling/2.mp4")
    steps: list[tuple[int, int]] = []
    scan(tmp_path, "folders", lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, 2)
    assert steps[-1] == (2, 2)
    assert steps == sorted(steps)


def test_a_folder_of_no_format_names_the_formats(tmp_path: Path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ConfigError, match="ntu, gmdcsa24, urfd, rehab, folders"):
        detect(tmp_path)


def test_unknown_formats_and_missing_folders_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="--format coco"):
        scan(tmp_path, "coco", lambda done, total: None)
    with pytest.raises(ConfigError, match="not a folder"):
        scan(tmp_path / "nowhere", "auto", lambda done, total: None)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_folder_is_no_crash(tmp_path: Path, name: str):
    assert not FORMATS[name].looks_like(tmp_path)
    found = scan(tmp_path, name, lambda done, total: None)
    assert (found.clips, found.refusals) == ((), ())
