"""Recipes are followed literally: files and changes go into a copy of the source tree, then the commands run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from stan_edge.sources import demo_clip
from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.shell import Shell
from tests.e2e.mjpeg import MjpegCamera

PACKAGES = ("stan_edge", "train", "export", "bench/stan_bench")
LARGE = ("stan_edge/shipped", "train/checkpoints")
RECIPES: dict[str, list[Block]] = {}
for _block in blocks(ROOT / "docs" / "pages" / "recipes.md"):
    RECIPES.setdefault(_block.heading, []).append(_block)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The packages; what is large is only linked."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "shipped", "checkpoints")
        )
    for large in LARGE:
        (tmp_path / large).symlink_to(ROOT / large)
    shutil.copy(demo_clip(), tmp_path / "film.mp4")
    return tmp_path


def apply(diff: str, root: Path) -> None:
    """Change files as a unified diff says; what a hunk replaces must be there exactly once."""
    for part in re.split(r"^--- .*\n(?=\+\+\+ )", diff, flags=re.MULTILINE)[1:]:
        first, *hunks = re.split(r"^@@.*\n", part, flags=re.MULTILINE)
        path = root / first.strip().removeprefix("+++ b/")
        text = path.read_text(encoding="utf-8")
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] or "\n" for line in lines if line[0] in " -\n")
            after = "".join(line[1:] or "\n" for line in lines if line[0] in " +\n")
            assert text.count(before) == 1, f"{path.name} does not hold once:\n{before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def follow(name: str, tree: Path, camera: MjpegCamera) -> None:
    shell = Shell(tree, camera, tuple(tree / part for part in (".", "train", "export", "bench")))
    for block in RECIPES[name]:
        if block.language == "diff":
            apply(block.text, tree)
        else:
            shell.run(block)


def test_there_is_a_recipe_for_each_kind() -> None:
    assert set(RECIPES) == {f"Add a {kind}" for kind in ("source", "sink", "backend", "data set")} | {
        "Add an attribution method"
    }


@pytest.mark.parametrize("name", ["Add a source", "Add a data set"])
def test_a_recipe_works(name: str, tree: Path, password_camera: MjpegCamera) -> None:
    follow(name, tree, password_camera)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Add a sink", "Add a backend", "Add an attribution method"])
def test_a_longer_recipe_works(name: str, tree: Path, password_camera: MjpegCamera) -> None:
    follow(name, tree, password_camera)
