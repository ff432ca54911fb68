"""UR Fall Detection: labels by frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from stan_edge.sources import Crop
from stan_train.datasets import scan
from tests.stan_train.datasets.conftest import Make, ScanFolder, reasons

TABLE = "urfall-cam0-falls.csv"
SIZE = (640, 240)


def table(path: Path, clips: dict[str, list[int]], header: bool = True) -> None:
    lines = ["name,frame,label,hhmr"] if header else []
    for name, labels in clips.items():
        lines += [f"{name},{number},{label},1.03" for number, label in enumerate(labels, start=1)]
    (path / TABLE).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("header", [True, False])
def test_labels_of_frames_become_intervals(make: Make, scanned: ScanFolder, tmp_path: Path, header: bool):
    make("fall-01-cam0.mp4", frames=10, size=SIZE)
    table(tmp_path, {"fall-01": [-1, -1, 0, 0, 0, 1, 1]}, header)  # three frames are not labelled
    found = scanned()
    (clip,) = found.clips
    assert (found.format, found.refusals) == ("urfd", ())
    assert (clip.important, clip.ignored) == (((2, 5),), ((5, 10),))
    assert (clip.crop, clip.width_px, clip.height_px) == (Crop(320, 0, 320, 240), 320, 240)
    assert (clip.label, clip.subject, clip.group, clip.camera) == ("falling", "unknown", "fall-01", "cam0")


def test_daily_activities_are_background(make: Make, scanned: ScanFolder):
    make("adl-03-cam0.mp4", size=SIZE)
    (clip,) = scanned().clips
    assert (clip.label, clip.important, clip.ignored) == ("background", (), ())


def test_what_is_left_out_is_named(make: Make, scanned: ScanFolder, tmp_path: Path):
    for number in range(1, 6):
        make(f"fall-0{number}-cam0.mp4", frames=4, size=(64, 48) if number == 4 else SIZE)
    make("fall-01-cam1.mp4", size=SIZE)
    make("other.mp4", size=SIZE)
    good = [-1, 0, 1, 1]
    table(
        tmp_path,
        {
            "fall-01": good,
            "fall-02": [*good, 1],
            "fall-03": [-1, 7, 1, 1],
            "fall-04": good,
            "fall-06": good,
            "fall-07": [-1],
        },
    )
    found = scanned()
    assert [clip.group for clip in found.clips] == ["fall-01"]
    said = {(refusal.path.name, refusal.reason) for refusal in found.refusals}
    for name, says in (
        ("fall-02-cam0.mp4", "outside the clip's 4 frames"),
        ("fall-03-cam0.mp4", "no usable row"),
        (TABLE, "7 is an unknown label"),
        ("fall-04-cam0.mp4", "is 64x48, not 640x240"),
        ("fall-05-cam0.mp4", "no usable row"),
        (TABLE, "describes 1 clip that is not here: fall-06"),
        (TABLE, "no frame is labelled 0, falling; fall-07 is left out"),
        ("fall-01-cam1.mp4", "those of camera 0"),
        ("other.mp4", "not named like"),
    ):
        assert any(path == name and says in reason for path, reason in said), (name, says)


@pytest.mark.parametrize("line", ["fall-01,x,0", "fall-01,0,0", "fall-01,1", "fall-01,1,0\nfall-01,1,0"])
def test_wrong_rows_refuse_their_clip_only(make: Make, scanned: ScanFolder, tmp_path: Path, line: str):
    make("fall-01-cam0.mp4", frames=2, size=SIZE)
    make("fall-02-cam0.mp4", frames=2, size=SIZE)
    (tmp_path / TABLE).write_text(f"{line}\nfall-02,1,0\nfall-02,2,1\n")
    found = scanned()
    assert [clip.group for clip in found.clips] == ["fall-02"]
    assert "fall-01 is left out" in reasons(found)[TABLE]


@pytest.mark.slow
@pytest.mark.parametrize("real", ["urfd"], indirect=True)
def test_the_published_falls(real: Path):
    found = scan(real, "auto", lambda done, total: None)
    assert (len(found.clips), found.refusals) == (20, ())
    first = found.clips[0]
    assert (first.important, first.ignored, first.frames) == (((82, 112),), ((112, 160),), 160)
