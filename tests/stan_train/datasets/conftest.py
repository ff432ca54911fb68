"""Tiny videos in the layouts of the formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_train.datasets import Scan, scan

DATA = Path(os.environ.get("STAN_EDGE_DATA") or Path(__file__).parents[4] / "shared" / "data")

Make = Callable[..., Path]
ScanFolder = Callable[..., Scan]


@pytest.fixture
def real(request: pytest.FixtureRequest) -> Path:
    """A folder of real clips; parametrize with its name."""
    folder = DATA / request.param
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; STAN_EDGE_DATA names the folder that holds it")
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a video below the test's folder."""

    def write(name: str, frames: int = 20, fps: float = 10.0, size: tuple[int, int] = (64, 48)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = "FFV1" if path.suffix in (".avi", ".mkv") else "mp4v"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
        for k in range(frames):
            writer.write(np.full((size[1], size[0], 3), 40 + k % 100, np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def scanned(tmp_path: Path) -> ScanFolder:
    """Scan the test's folder."""

    def call(name: str = "auto") -> Scan:
        return scan(tmp_path, name, lambda done, total: None)

    return call


def reasons(found: Scan) -> dict[str, str]:
    """Reason of each refusal by the last part of its path."""
    assert len({refusal.path for refusal in found.refusals}) == len(found.refusals)
    return {refusal.path.name: refusal.reason for refusal in found.refusals}
