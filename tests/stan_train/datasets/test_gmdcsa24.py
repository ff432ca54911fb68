"""GMDCSA24's tables, with every notation found in the six of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stan_train.datasets import scan
from stan_train.datasets.files import Refusal, read_table
from stan_train.datasets.gmdcsa24 import Activity, parse_classes
from tests.stan_train.datasets.conftest import Make, ScanFolder, reasons

HEADER = "File Name,Length (seconds),Time of Recording,Attire,Description, Classes\n"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Falling (SW)[3.4 to 6]; Sitting[0 to 3.4]", {"Falling": ((3.4, 6),), "Sitting": ((0, 3.4),)}),
        ("Falling (SW)[1.8 to 5]:; Walking[0 to 1.8]", {"Falling": ((1.8, 5),), "Walking": ((0, 1.8),)}),
        ("Falling (BW) [0.3 to 5]; Standing [0 to 0.2]", {"Falling": ((0.3, 5),), "Standing": ((0, 0.2),)}),
        ("Falling (SW) [ 2.8 to 6]; Sitting [0 to 2.9]", {"Falling": ((2.8, 6),), "Sitting": ((0, 2.9),)}),
        ("Falling (BW[5.9 to 10]; Walking[0 to 1.3]", {"Falling": ((5.9, 10),), "Walking": ((0, 1.3),)}),
        ("Fall (FW)[0 to 3]", {"Falling": ((0, 3),)}),
        ("Standing[0 to 0.5; 4.2 to 6.5]", {"Standing": ((0, 0.5), (4.2, 6.5))}),
        ("Standing[3.3 to 5];Walking[5 to 7]; ", {"Standing": ((3.3, 5),), "Walking": ((5, 7),)}),
        ("Eating[0.9 4.6]; Standing[0 to 8.1]", {"Eating": ((0.9, 4.6),), "Standing": ((0, 8.1),)}),
        (
            "Standing[2.4 to 3.6; 6.6 to 7.9; Walking[3.6 to 5.2] ",
            {"Standing": ((2.4, 3.6), (6.6, 7.9)), "Walking": ((3.6, 5.2),)},
        ),
        ("Reading; Sitting[0.8 to 8.1]", {"Reading": (), "Sitting": ((0.8, 8.1),)}),
    ],
)
def test_notations(cell: str, expected: dict[str, tuple[tuple[float, float], ...]]):
    assert parse_classes(cell) == tuple(Activity(name, spans) for name, spans in expected.items())


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("Sitting[9.7 to 3]; Walking[0.5 to 1.8]", "9.7 to 3 runs backwards"),
        ("Sitting[3 to 3]", "runs backwards"),
        ("Juggling[0 to 3]", "'Juggling' is an unknown label"),
        ("Sitting[0 until 3]", "no interval"),
        ("Sitting[0 to 3] 7", "'7' cannot be read"),
        ("?", "cannot be read"),
        ("", "empty"),
    ],
)
def test_what_cannot_be_read_is_said(cell: str, says: str):
    with pytest.raises(ValueError, match=says):
        parse_classes(cell)


def test_fall_becomes_important_and_what_follows_is_ignored(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("Subject 7/Fall/01.mp4", frames=55)  # 5.5 s; the table says 5
    make("Subject 7/ADL/01.mp4", frames=30, fps=15)
    (tmp_path / "Subject 7/Fall.csv").write_text(
        HEADER + "01.mp4,05,Day,Shirt,A fall, Falling (BW)[1.2 to 5]; Standing[0 to 1.1]\n"
    )
    (tmp_path / "Subject 7/ADL.csv").write_text(HEADER + "01.mp4,02,Day,Shirt,A walk, Walking[0 to 2]\n")
    found = scanned()
    assert (found.format, found.refusals) == ("gmdcsa24", ())
    adl, fall = found.clips
    assert (fall.label, fall.important, fall.ignored) == ("falling", ((12, 30),), ((30, 55),))
    assert (adl.label, adl.important, adl.ignored, adl.fps) == ("background", (), (), 15)
    assert {clip.subject for clip in found.clips} == {clip.group for clip in found.clips} == {"subject-7"}


@pytest.mark.parametrize(
    ("classes", "important", "ignored"),
    [
        ("Falling (BW)[0 to 1]; Falling (SW)[1 to 6]", ((0, 10), (10, 28)), ((28, 60),)),
        ("Falling (BW)[1 to 4]; Walking[5 to 6]", ((10, 28),), ((28, 40),)),  # got up
        ("Falling (BW)[5 to 6.9]", ((50, 60),), ()),  # the table's times are rough
        ("Falling (BW)[3 to 4]", ((30, 48),), ((48, 60),)),  # nothing follows: lies until the end
    ],
)
def test_intervals_of_falls(make: Make, scanned: ScanFolder, tmp_path: Path, classes, important, ignored):
    make("Subject 1/Fall/01.mp4", frames=60)
    (tmp_path / "Subject 1/Fall.csv").write_text(HEADER + f"01.mp4,06,Day,Shirt,A fall,{classes}\n")
    (clip,) = scanned().clips
    assert (clip.important, clip.ignored) == (important, ignored)


def test_every_row_and_file_that_is_left_out_is_named(make: Make, scanned: ScanFolder, tmp_path: Path):
    for name in ("01", "02", "03", "04", "05", "06", "07", "10"):
        make(f"Subject 1/Fall/{name}.mp4", frames=30)
    (tmp_path / "Subject 1/Fall/07.mp4").write_bytes(b"")
    (tmp_path / "Subject 1/Fall/notes.docx").write_bytes(b"x")
    rows = (
        "01.mp4,03,Day,Shirt,A fall,Falling (BW)[1 to 3]",
        "02.mp4,03,Day,Shirt,A fall,Falling (BW)[2 to 1]",
        "03.mp4,03,Day,Shirt,A fall,Falling (BW)[7 to 9]",
        "04.mp4,03,Day,Shirt,A fall,Falling (BW)[1 to 9]",
        "05.mp4,03,Day,Shirt,A fall, and a comma,Falling (BW)[1 to 3]",
        "06.mp4,03,Day,Shirt,No fall,Sitting[1 to 3]",
        "07.mp4,03,Day,Shirt,A fall,Falling (BW)[1 to 3]",
        "08.mp4,03,Day,Shirt,A fall,Falling (BW)[1 to 3]",
        "09.mp4,03,Day,Shirt,A fall,Falling (BW)[1 to 3]",
    )
    (tmp_path / "Subject 1/Fall.csv").write_text(HEADER + "\n".join(rows))
    found = scanned()
    assert [clip.path.name for clip in found.clips] == ["01.mp4"]
    says = reasons(found)
    assert "line 3" in says["02.mp4"]
    assert "backwards" in says["02.mp4"]
    assert "outside the clip" in says["03.mp4"]
    assert "lasts 3.0 s" in says["04.mp4"]
    assert "7 cells, where the header has 6" in says["05.mp4"]
    assert "nowhere when the fall happens" in says["06.mp4"]
    assert "empty" in says["07.mp4"]
    assert says["Fall.csv"] == "describes 2 clips that are not here: 08.mp4, 09.mp4"
    assert "in no row of Fall.csv" in says["10.mp4"]
    assert "does not read" in says["*.docx"]


def test_a_fall_among_daily_activities_and_a_double_row(make: Make, scanned: ScanFolder, tmp_path: Path):
    make("Subject 1/ADL/01.mp4")
    make("Subject 1/ADL/02.mp4")
    row = "02.mp4,02,Day,Shirt,A walk,Walking[0 to 2]\n"
    (tmp_path / "Subject 1/ADL.csv").write_text(HEADER + "01.mp4,02,Day,Shirt,A fall,Fall[0 to 2]\n" + row + row)
    found = scanned()
    assert [clip.path.name for clip in found.clips] == ["02.mp4"]
    assert "move it to Fall" in reasons(found)["01.mp4"]
    assert "line 4: describes 02.mp4 a second time" in reasons(found)["ADL.csv"]


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", b"a,b\n1,2\n"])
def test_a_damaged_table_is_named(make: Make, scanned: ScanFolder, tmp_path: Path, content: bytes):
    make("Subject 1/Fall/01.mp4")
    (tmp_path / "Subject 1/Fall.csv").write_bytes(content)
    found = scanned("gmdcsa24")
    assert not found.clips
    assert set(reasons(found)) == {"Fall.csv", "01.mp4"}


@pytest.mark.parametrize("real", ["gmdcsa24"], indirect=True)
def test_all_published_rows_but_one_are_read(real: Path):
    tables = sorted(real.glob("*/*.csv"))
    assert len(tables) == 6
    refused, count = [], 0
    for table in tables:
        rows = read_table(table)
        assert not isinstance(rows, Refusal)
        for row in rows:
            count += 1
            assert row.surplus == 0
            try:
                parse_classes(row.cells["Classes"])
            except ValueError as error:
                refused.append(f"{table.parent.name} {row.cells['File Name']}: {error}")
    assert count == 16 + 16 + 23 + 25 + 22 + 21
    assert refused == ["Subject 2 06.mp4: Sitting: the interval 9.7 to 3 runs backwards; correct the row"]


@pytest.mark.slow
@pytest.mark.parametrize("real", ["gmdcsa24"], indirect=True)
def test_every_clip_on_disk_is_read(real: Path):
    found = scan(real, "auto", lambda done, total: None)
    assert len(found.clips) == len(list(real.rglob("*.mp4")))
    assert all(clip.important for clip in found.clips if clip.label == "falling")
