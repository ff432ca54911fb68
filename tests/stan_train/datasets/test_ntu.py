"""NTU RGB+D: everything is in the name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stan_train.datasets.conftest import Make, ScanFolder, reasons


@pytest.mark.parametrize(
    ("number", "label", "important"),
    [("043", "falling", None), ("044", "headache", None), ("045", "chest_pain", None), ("001", "background", ())],
)
def test_name_says_who_what_and_where(make: Make, scanned: ScanFolder, number: str, label: str, important: object):
    make(f"nturgb+d_rgb/S006C002P016R001A{number}_rgb.avi")
    (clip,) = scanned().clips
    assert (clip.dataset, clip.label, clip.important) == ("ntu", label, important)
    assert (clip.subject, clip.camera, clip.group) == ("P016", "C002", "S006P016R001")
    assert (clip.region, clip.ignored, clip.crop) == ("pose", (), None)


def test_three_cameras_film_one_performance(make: Make, scanned: ScanFolder):
    for camera in (1, 2, 3):
        make(f"S001C00{camera}P002R001A043_rgb.avi")
    assert {clip.group for clip in scanned().clips} == {"S001P002R001"}


def test_other_names_and_classes_are_refused(make: Make, scanned: ScanFolder):
    make("S001C001P001R001A043_rgb.avi")
    make("S001C001P001R001A121_rgb.avi")
    make("holiday.avi")
    found = scanned()
    assert len(found.clips) == 1
    says = reasons(found)
    assert "unknown class" in says["S001C001P001R001A121_rgb.avi"]
    assert "not named like" in says["holiday.avi"]


def test_skeleton_beside_the_clip_gives_the_region(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("S001C001P001R001A043_rgb.avi")
    make("S001C001P001R001A044_rgb.avi")
    (tmp_path / "S001C001P001R001A043.skeleton").write_text("0\n")
    (tmp_path / "S001C001P001R001A044.skeleton").write_text("2\n1\n")
    found = scanned()
    assert [clip.region for clip in found.clips] == ["skeleton", "pose"]
    assert "cut off or damaged" in reasons(found)["S001C001P001R001A044.skeleton"]
