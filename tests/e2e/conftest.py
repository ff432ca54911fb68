"""The installed command, run as a user would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stan_edge.cli.app import main

COMMAND = str(Path(sys.executable).with_name("stan-edge"))
GUARD = str(Path(__file__).with_name("no_network.py"))
CLIPS = Path(__file__).parents[3] / "shared" / "data"
Ran = subprocess.CompletedProcess[str]


def _runs(*command: str) -> Callable[..., Ran]:
    def call(*args: str | Path, timeout_s: float = 120) -> Ran:
        return subprocess.run(
            [*command, *map(str, args)], capture_output=True, text=True, timeout=timeout_s, check=False
        )

    return call


@pytest.fixture(scope="session")
def stan_edge() -> Callable[..., Ran]:
    return _runs(COMMAND)


@pytest.fixture(scope="session")
def offline() -> Callable[..., Ran]:
    """The same where an internet socket is fatal, also to native code."""
    return _runs(sys.executable, GUARD, COMMAND)


@pytest.fixture(scope="session")
def demo(offline: Callable[..., Ran], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """What `run --demo` has written and printed."""
    folder = tmp_path_factory.mktemp("demo")
    written = ("--save-video", folder / "seen.mp4", "--save-timeline", folder / "timeline.png")
    ran = offline("run", "--demo", "--json", *written)
    assert ran.returncode == 0, ran.stderr
    return folder, ran


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real recordings, where they are at hand."""
    if not CLIPS.is_dir():
        pytest.skip("the real clips (shared/data beside the repository) are not here")
    return CLIPS


def check_refusal(status: int, out: str, err: str, *words: str) -> None:
    """Exit code 2, nothing on stdout, one sentence on stderr."""
    assert status == 2, (status, out, err)
    assert out == ""
    assert err.startswith("stan-edge: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Runs the command in this process, because each start of it takes seconds; gives what it said."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*args: str | Path, says: Sequence[str] = ()) -> str:
        monkeypatch.setattr(sys, "argv", ["stan-edge", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        check_refusal(left.value.code, out, err, *says)
        return err

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


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
