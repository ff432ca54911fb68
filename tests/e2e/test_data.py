"""`stan-edge data`: bad recordings are named, good ones are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_train.manifest import read_manifest
from tests.e2e.conftest import Ran, write_video
from tests.e2e.test_light import HEAVY, loaded_by

RunCommand = Callable[..., Ran]


def pictures(count: int = 20, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    return [np.full((size[1], size[0], 3), 40 + 5 * k, np.uint8) for k in range(count)]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two good clips of different rate and size among all that can be wrong."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    write_video(folder / "good.mp4", pictures(), 10)
    write_video(folder / "other.avi", pictures(30, (96, 128)), 25)
    write_video(folder / "label.mp4", pictures())
    write_video(folder / "interval.mp4", pictures())
    write_video(folder / "backwards.mp4", pictures())
    write_video(folder / "one-frame.mp4", pictures(1))
    write_video(folder / "nobody.mp4", pictures())
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "unreadable.mp4").write_bytes(b"these are not the frames" * 50)
    (folder / "labels.csv").write_text(
        "video,patient,label,intervals\n"
        "good.mp4,p01,compensation,5-15\n"
        "other.avi,p02,background,none\n"
        "label.mp4,p02,Not Good!,\n"
        "interval.mp4,p02,compensation,5-50\n"
        "backwards.mp4,p02,compensation,15-5\n"
        "one-frame.mp4,p02,compensation,\n"
        "empty.mp4,p02,compensation,\n"
        "unreadable.mp4,p02,compensation,\n"
        "absent.mp4,p02,compensation,\n"
    )
    return folder


def test_every_refusal_is_said_and_the_good_clips_are_kept(stan_edge: RunCommand, recordings: Path, tmp_path: Path):
    ran = stan_edge("data", "scan", recordings, "-o", tmp_path / "m.csv")
    assert (ran.returncode, ran.stderr) == (0, "")
    good, other = read_manifest(tmp_path / "m.csv")
    assert (good.path, good.fps, good.frames, good.important) == (recordings / "good.mp4", 10, 20, ((5, 15),))
    assert (other.fps, other.frames, other.width_px, other.height_px) == (25, 30, 96, 128)
    for name, reason in (
        ("label.mp4", "label 'Not Good!'"),
        ("interval.mp4", "outside the clip of 20 frames"),
        ("backwards.mp4", "backwards"),
        ("one-frame.mp4", "one frame is no video"),
        ("nobody.mp4", "is in no row of labels.csv"),
        ("empty.mp4", "is empty"),
        ("unreadable.mp4", "not a video that can be decoded"),
        ("labels.csv", "1 clip that is not here: absent.mp4"),
    ):
        (line,) = [line for line in ran.stdout.splitlines() if f"recordings/{name}: " in line]
        assert reason in line
    assert "format rehab: 2 clips, 8 refusals" in ran.stdout
    assert "p01" in ran.stdout
    assert "data preview" in ran.stdout


def test_nothing_usable_is_an_error_with_reasons(stan_edge: RunCommand, tmp_path: Path):
    (tmp_path / "falling").mkdir()
    (tmp_path / "falling/1.mp4").write_bytes(b"")
    ran = stan_edge("data", "scan", tmp_path, "-o", tmp_path / "m.csv")
    assert ran.returncode == 2
    assert "is empty" in ran.stdout
    assert "no clip that can be used" in ran.stderr
    assert not (tmp_path / "m.csv").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nowhere", "-o", "m.csv"), "is not a folder"),
        ((".", "-o", "m.csv"), "looks like none of ntu, gmdcsa24, urfd, rehab, folders"),
        ((".", "-o", "m.csv", "--format", "coco"), "--format coco is unknown"),
        ((".", "-o", "m.txt"), "ends in .csv"),
        ((".", "-o", "nowhere/m.csv"), "does not exist"),
    ],
)
def test_wrong_use_is_one_sentence(refused: Callable[..., str], tmp_path: Path, args, says: str):
    folder, flag, out, *more = args
    assert says in refused("data", "scan", tmp_path / folder, flag, tmp_path / out, *more)


def test_preview_shows_each_class_and_marks_the_important_frames(
    stan_edge: RunCommand, recordings: Path, tmp_path: Path
):
    stan_edge("data", "scan", recordings, "-o", tmp_path / "m.csv")
    ran = stan_edge("data", "preview", tmp_path / "m.csv", "-o", tmp_path / "sheets")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "sheets").iterdir()} == {"compensation.png", "background.png"}

    def red_below_the_heading(name: str) -> int:
        sheet = cv2.imread(str(tmp_path / "sheets" / name))[40:].astype(int)
        return int(((sheet[..., 2] > 200) & (sheet[..., 1] < 100)).sum())

    assert red_below_the_heading("compensation.png") > 1000
    assert red_below_the_heading("background.png") == 0


def test_preview_of_a_clip_that_has_gone(
    stan_edge: RunCommand, refused: Callable[..., str], recordings: Path, tmp_path: Path
):
    stan_edge("data", "scan", recordings, "-o", tmp_path / "m.csv")
    (recordings / "good.mp4").unlink()
    assert "good.mp4 does not exist" in refused("data", "preview", tmp_path / "m.csv", "-o", tmp_path / "sheets")


def test_help_loads_nothing_heavy():
    heavy = {*HEAVY} - {"pydantic"}  # typer itself needs it for a verb's help
    for verb in ("scan", "preview"):
        assert not loaded_by(f"from stan_edge.cli.app import app; app(['data', '{verb}', '--help'])") & heavy
