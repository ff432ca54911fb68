"""Folders of pictures as films."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_edge.errors import ConfigError, SourceDecodeError, SourceNotFoundError
from stan_edge.sources import ImageFolder, PacedSource, open_source
from tests.stan_edge.sources.conftest import frames_of, picture


def write_pictures(folder: Path, names: list[str]) -> Path:
    """One picture a name, brighter by 10 each; written in the opposite order."""
    folder.mkdir(exist_ok=True)
    for value, name in reversed(list(enumerate(names))):
        cv2.imwrite(str(folder / name), picture(10 * value)[..., ::-1])
    return folder


def test_pictures_come_in_the_order_of_their_numbers_at_the_rate_given(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["f1.png", "f2.PNG", "f10.png", "f11.bmp"])
    (folder / "notes.txt").write_text("not a picture")
    (folder / "inner.png").mkdir()
    source = open_source(str(folder), fps=12.5)
    assert not source.live
    frames = frames_of(source)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 10, 20, 30]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.t_capture_s for frame in frames] == pytest.approx([0, 0.08, 0.16, 0.24])
    assert frames[0].image.shape == (120, 160, 3)
    assert tuple(frames[0].image[60, 120]) == (255, 0, 0)
    assert source.read() is None


def test_grey_deep_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "1.png"), rng.integers(0, 255, (20, 30), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), rng.integers(0, 2**16 - 1, (20, 30, 3), np.uint16))
    cv2.imwrite(str(tmp_path / "3.png"), rng.integers(0, 255, (20, 30, 4), np.uint8))
    assert [(frame.image.shape, frame.image.dtype) for frame in frames_of(ImageFolder(tmp_path, 10))] == [
        ((20, 30, 3), np.uint8)
    ] * 3


def test_a_folder_without_a_rate_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add --fps"):
        open_source(str(write_pictures(tmp_path / "a", ["1.png"])))


def test_a_rate_for_anything_else_is_refused(tmp_path: Path) -> None:
    for spec in ("film.mp4", "rtsp://eve:secret@10.0.0.8/live"):
        with pytest.raises(ConfigError, match="A rate is for a folder of pictures") as refused:
            open_source(spec, fps=10)
        assert refused.value.field == "cameras.fps"
        assert "secret" not in str(refused.value)


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    with pytest.raises(SourceNotFoundError, match=r"is a folder without pictures .*\.png"):
        open_source(str(tmp_path), fps=10)


def test_a_damaged_picture_is_named_after_those_before_it(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:20])
    source = open_source(str(folder), fps=10)
    assert source.read() is not None
    with pytest.raises(SourceDecodeError, match=r"2\.png is not a picture"):
        source.read()


def test_a_folder_can_be_played_as_a_camera(tmp_path: Path) -> None:
    source = open_source(str(write_pictures(tmp_path / "a", ["1.png", "2.png"])), fps=100, realtime=True)
    assert isinstance(source, PacedSource)
    assert len(frames_of(source)) == 2


@pytest.mark.parametrize("size_px", [(2**31 - 1, 1), (1, 2**20 + 1), (30_000, 30_000)])
def test_a_picture_that_claims_too_large_a_size_is_refused(tmp_path: Path, size_px: tuple[int, int]) -> None:
    head = struct.pack("<IiiHHIIiiII", 40, *size_px, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "1.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head)
    with pytest.raises(SourceDecodeError, match=r"1\.bmp is not a picture"):
        frames_of(ImageFolder(tmp_path, 10))
