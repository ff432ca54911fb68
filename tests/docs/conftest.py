"""A camera that asks for a password, and a shell in a prepared folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import Shell, prepare
from tests.e2e.mjpeg import MjpegCamera


@pytest.fixture(scope="session")
def password_camera() -> Iterator[MjpegCamera]:
    camera = MjpegCamera(closed=True)
    yield camera
    camera.close()


@pytest.fixture
def shell(password_camera: MjpegCamera, tmp_path: Path) -> Shell:
    prepare(tmp_path)
    return Shell(tmp_path, password_camera)
