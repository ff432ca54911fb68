"""Our documented table for rehabilitation recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stan_train.datasets.conftest import Make, ScanFolder, reasons

HEADER = "video,patient,label,intervals\n"


@pytest.mark.parametrize(
    ("label", "intervals", "important"),
    [
        ("compensation", "2-8;10-20", ((2, 8), (10, 20))),
        ("compensation", "0.2s-1.1s", ((2, 11),)),
        ("compensation", " 2 - 8 ; 1 s - 1.5 s ", ((2, 8), (10, 15))),
        ("compensation", "", None),
        ("compensation", "?", None),
        ("compensation", "none", ()),
        ("background", "", ()),
    ],
)
def test_intervals(make: Make, scanned: ScanFolder, tmp_path: Path, label: str, intervals: str, important: object):
    make("p01/reach.mp4")
    (tmp_path / "labels.csv").write_text(HEADER + f"p01/reach.mp4,p01,{label},{intervals}\n")
    found = scanned()
    assert (found.format, found.refusals) == ("rehab", ())
    (clip,) = found.clips
    assert (clip.label, clip.important, clip.subject, clip.group) == (label, important, "p01", "p01")


def test_without_a_patient_each_video_is_a_group(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("a.mp4")
    make("b.mp4")
    (tmp_path / "labels.csv").write_text("\ufeff" + HEADER + "a.mp4,,compensation\nb.mp4,,compensation\n")
    assert [(clip.subject, clip.group) for clip in scanned().clips] == [("unknown", "a.mp4"), ("unknown", "b.mp4")]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.mp4,p01,Chest Pain,", "write it like chest_pain"),
        ("a.mp4,p01,,", "no label"),
        ("a.mp4,p01,compensation,8-2", "runs backwards"),
        ("a.mp4,p01,compensation,1.5s-0.5s", "runs backwards"),
        ("a.mp4,p01,compensation,2-21", "outside the clip of 20 frames"),
        ("a.mp4,p01,compensation,1s-2.5s", "outside the clip"),
        ("a.mp4,p01,compensation,from 2 to 3", "no interval"),
        ("a.mp4,p01,compensation,2-3,5-6", "separate intervals by ;"),
        ("a.mp4,p01,background,2-3", "write none"),
    ],
)
def test_wrong_cells_are_named_and_the_rest_is_kept(
    make: Make, scanned: ScanFolder, tmp_path: Path, row: str, says: str
):
    make("a.mp4")
    make("b.mp4")
    (tmp_path / "labels.csv").write_text(HEADER + row + "\nb.mp4,p02,compensation,1-2\n")
    found = scanned()
    assert [clip.path.name for clip in found.clips] == ["b.mp4"]
    reason = reasons(found)["a.mp4"]
    assert says in reason
    assert "labels.csv, line 2" in reason


def test_videos_and_tables_that_do_not_meet(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("a.mp4")
    make("b.mp4")
    (tmp_path / "labels.csv").write_text(
        HEADER + "a.mp4,p01,compensation,\na.mp4,p01,compensation,\nc.mp4,p01,x,\n,,,x"
    )
    (tmp_path / "ages.csv").write_text("patient,age\np01,70\n")
    (tmp_path / "README.md").write_text("hello")
    found = scanned()
    assert len(found.clips) == 1
    said = {(refusal.path.name, refusal.reason) for refusal in found.refusals}
    assert ("labels.csv", "line 3: describes a.mp4 a second time") in said
    assert ("labels.csv", "describes 1 clip that is not here: c.mp4") in said
    assert ("labels.csv", "line 5: names no video") in said
    assert any(name == "b.mp4" for name, _ in said)
    assert any(name == "ages.csv" and "no header" in reason for name, reason in said)
    assert len(said) == 5
