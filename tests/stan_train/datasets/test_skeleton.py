"""NTU's skeleton files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_train.datasets.skeleton import read_skeleton

JOINTS = 25


def body(name: str, middle: tuple[float, float]) -> str:
    """A body whose joints lie on a line from 10 px left above to 10 px right below."""
    lines = [f"{name} 0 1 1 1 1 0 0.1 0.2 2", str(JOINTS)]
    for step in np.linspace(-10, 10, JOINTS):
        x, y = middle[0] + step, middle[1] + step
        lines.append(f"0.1 0.2 3.0 250.0 200.0 {x} {y} 0.1 0.2 0.3 0.4 2")
    return "\n".join(lines)


def write(path: Path, frames: list[list[str]]) -> Path:
    parts = [str(len(frames))]
    for bodies in frames:
        parts += [str(len(bodies)), *bodies]
    path.write_text("\n".join(parts) + "\n")
    return path


def test_box_around_the_joints(tmp_path: Path):
    path = write(tmp_path / "a.skeleton", [[body("7", (100, 200))], [], [body("7", (150, 200))]])
    boxes = read_skeleton(path, 4)
    assert boxes.shape == (4, 4)
    assert boxes.dtype == np.float32
    np.testing.assert_allclose(boxes[0], (90, 190, 110, 210))
    np.testing.assert_allclose(boxes[2], (140, 190, 160, 210))
    assert np.isnan(boxes[[1, 3]]).all()


def test_a_longer_skeleton_is_cut(tmp_path: Path):
    path = write(tmp_path / "a.skeleton", [[body("7", (100, 200))]] * 5)
    assert read_skeleton(path, 3).shape == (3, 4)


def test_whoever_moves_most_is_followed_whatever_the_order(tmp_path: Path):
    """A chair that is taken for a body stands still."""
    frames = [[body("chair", (500, 500)), body("person", (100 + 20 * k, 200))][:: (-1) ** k] for k in range(4)]
    boxes = read_skeleton(write(tmp_path / "a.skeleton", frames), 4)
    np.testing.assert_allclose(boxes[:, 0], [90, 110, 130, 150])


def test_joints_without_a_place_do_not_count(tmp_path: Path):
    text = body("7", (100, 200)).replace(" 110.0 210.0 ", " NaN NaN ")
    boxes = read_skeleton(write(tmp_path / "a.skeleton", [[text]]), 1)
    assert np.isfinite(boxes).all()
    assert boxes[0, 2] < 110


def test_nobody_at_all(tmp_path: Path):
    assert np.isnan(read_skeleton(write(tmp_path / "a.skeleton", [[], []]), 2)).all()


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_cut_file_is_refused(tmp_path: Path, keep: float):
    path = write(tmp_path / "a.skeleton", [[body("7", (100, 200))]] * 3)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[: int(keep * len(lines))]))
    with pytest.raises(ConfigError, match="damaged"):
        read_skeleton(path, 3)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00", b"1\n9\n", b"1\n1\n7\n-3\n", b"1\n1\n\n25\n"])
def test_what_is_no_skeleton_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "a.skeleton"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.skeleton"):
        read_skeleton(path, 3)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_skeleton(tmp_path / "a.skeleton", 3)
