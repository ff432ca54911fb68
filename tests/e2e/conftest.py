"""The installed command, run as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

COMMAND = str(Path(sys.executable).with_name("stan-edge"))
CLIPS = Path(__file__).parents[3] / "shared" / "data"
Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def stan_edge() -> Callable[..., Ran]:
    def call(*args: str | Path, timeout_s: float = 120) -> Ran:
        return subprocess.run(
            [COMMAND, *map(str, args)], capture_output=True, text=True, timeout=timeout_s, check=False
        )

    return call


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real recordings, where they are at hand."""
    if not CLIPS.is_dir():
        pytest.skip("the real clips (shared/data beside the repository) are not here")
    return CLIPS


def records(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def write_video(path: Path, pictures: list[np.ndarray], fps: float = 10.0) -> Path:
    """Write RGB pictures as a video file."""
    codec = "FFV1" if path.suffix in (".mkv", ".avi") else "mp4v"
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
