"""The manifest survives a round trip, and every wrong cell is named."""

from __future__ import annotations

import csv
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stan_edge.errors import ConfigError
from stan_edge.sources import Crop
from stan_train.manifest import Clip, Intervals, read_manifest, write_manifest

CLIP = Clip(
    path=Path("falling/1.mp4"),
    dataset="folders",
    label="falling",
    subject="anna",
    group="anna",
    camera="door",
    fps=29.97,
    frames=100,
    width_px=320,
    height_px=240,
    important=((10, 30), (50, 60)),
    ignored=((60, 100),),
    region="pose",
    crop=Crop(320, 0, 320, 240),
)

# a cell may hold anything but characters that no text file can
words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


@st.composite
def intervals(draw: st.DrawFn, frames: int) -> Intervals:
    edges = draw(st.lists(st.integers(0, frames), unique=True, max_size=8).map(sorted))
    return tuple(zip(edges[::2], edges[1::2], strict=False))


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    frames = draw(st.integers(1, 10_000))
    size = draw(st.integers(1, 4000)), draw(st.integers(1, 4000))
    return Clip(
        path=Path("clips", draw(words).replace("/", "-") + ".mp4"),
        dataset=draw(words),
        label=draw(words),
        subject=draw(words),
        group=draw(words),
        camera=draw(words),
        fps=draw(st.integers(1_000, 240_000)) / 1000,
        frames=frames,
        width_px=size[0],
        height_px=size[1],
        important=draw(st.none() | intervals(frames)),
        ignored=draw(intervals(frames)),
        region=draw(st.sampled_from(("pose", "sidecar", "skeleton", "none"))),
        crop=draw(
            st.none() | st.builds(Crop, st.integers(0, 99), st.integers(0, 99), st.just(size[0]), st.just(size[1]))
        ),
    )


@given(rows=st.lists(clips(), min_size=1, max_size=4))
def test_round_trip(rows: list[Clip], tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.getbasetemp().resolve() / "round trip"
    home.mkdir(exist_ok=True)
    placed = [replace(clip, path=home / clip.path) for clip in rows]
    write_manifest(home / "manifest.csv", placed)
    for clip, back in zip(placed, read_manifest(home / "manifest.csv"), strict=True):
        assert back.fps == pytest.approx(clip.fps, rel=1e-5)
        assert replace(back, fps=clip.fps) == clip


def test_folder_and_manifest_move_together(tmp_path: Path):
    there = tmp_path / "there"
    there.mkdir()
    outside = tmp_path / "elsewhere" / "2.mp4"
    write_manifest(there / "m.csv", [replace(CLIP, path=there / "a/1.mp4"), replace(CLIP, path=outside)])
    moved = Path(shutil.move(there, tmp_path / "moved"))
    assert [clip.path for clip in read_manifest(moved / "m.csv")] == [moved / "a/1.mp4", outside]


def test_a_clip_that_is_a_link_keeps_its_name(tmp_path: Path):
    """Its label, person and region file are known by where the link lies, not by where it leads."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/0001.mp4").touch()
    (tmp_path / "falling").mkdir()
    (tmp_path / "falling/1.mp4").symlink_to(tmp_path / "disk/0001.mp4")
    write_manifest(tmp_path / "m.csv", [replace(CLIP, path=tmp_path / "falling/1.mp4")])
    assert (tmp_path / "m.csv").read_text().splitlines()[1].startswith("falling/1.mp4,")
    (tmp_path / "link").symlink_to(tmp_path)
    (clip,) = read_manifest(tmp_path / "link" / "m.csv")
    assert clip.path == tmp_path / "link" / "falling/1.mp4"


def test_flags_follow_intervals():
    assert np.flatnonzero(CLIP.important_flags()).tolist() == [*range(10, 30), *range(50, 60)]
    assert np.flatnonzero(CLIP.ignored_flags()).tolist() == [*range(60, 100)]
    assert replace(CLIP, important=None).important_flags().all()
    assert not replace(CLIP, important=None, label="background").important_flags().any()


def written(path: Path, cells: dict[str, str]) -> Path:
    """A manifest of two rows; the second one's cells are replaced."""
    write_manifest(path, [CLIP, CLIP])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[1].update(cells)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Clip)])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("path", ""),
        ("label", ""),
        ("fps", "fast"),
        ("fps", "0"),
        ("fps", "nan"),
        ("fps", "inf"),
        ("frames", ""),
        ("frames", "0"),
        ("frames", "-3"),
        ("frames", "12.5"),
        ("width_px", "wide"),
        ("width_px", "0"),
        ("height_px", "-1"),
        ("important", "10"),
        ("important", "10-"),
        ("important", "30-10"),
        ("important", "10-10"),
        ("important", "90-101"),
        ("important", "a-b"),
        ("important", "none"),
        ("ignored", "?"),
        ("ignored", "99-101"),
        ("region", "guess"),
        ("region", ""),
        ("crop", "1,2,3"),
        ("crop", "0,0,0,10"),
    ],
)
def test_a_wrong_cell_is_named_by_row_and_column(tmp_path: Path, column: str, cell: str):
    path = written(tmp_path / "m.csv", {column: cell})
    with pytest.raises(ConfigError) as refused:
        read_manifest(path)
    assert f"m.csv, line 3: {column} {cell!r} is wrong" in str(refused.value)


def test_background_with_important_frames_is_refused(tmp_path: Path):
    path = written(tmp_path / "m.csv", {"label": "background"})
    with pytest.raises(ConfigError, match=r"line 3: important .* \(background shows nothing important\)"):
        read_manifest(path)


@pytest.mark.parametrize("column", [field.name for field in fields(Clip)])
def test_a_missing_column_is_named(tmp_path: Path, column: str):
    path = tmp_path / "m.csv"
    write_manifest(path, [CLIP])
    path.write_text(path.read_text().replace(column, "other", 1))
    with pytest.raises(ConfigError, match="is missing"):
        read_manifest(path)


def test_a_row_cut_short_is_an_error_not_a_crash(tmp_path: Path):
    path = tmp_path / "m.csv"
    write_manifest(path, [CLIP])
    head, row = path.read_text().splitlines()
    cells = row.split(",")
    for keep in range(1, len(cells) - 5):
        path.write_text(f"{head}\n{','.join(cells[:keep])}\n")
        with pytest.raises(ConfigError, match="line 2"):
            read_manifest(path)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\xfa\n", b"path,label\n"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="data scan"):
        read_manifest(path)


def test_a_manifest_without_rows_is_refused(tmp_path: Path):
    write_manifest(tmp_path / "m.csv", [])
    with pytest.raises(ConfigError, match="no clip"):
        read_manifest(tmp_path / "m.csv")
