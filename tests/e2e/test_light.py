"""The command and the package stay light."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np

from tests.e2e.conftest import COMMAND, write_video

HEAVY = {"torch", "cv2", "mediapipe", "onnxruntime", "openvino", "jax", "matplotlib"}


def loaded_by(code: str) -> set[str]:
    check = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.splitlines()[-1].split()}


def test_import_and_help_load_nothing_heavy():
    for code, more in (
        ("import stan_edge", {"numpy", "pydantic"}),
        ("import stan_edge.config", {"numpy"}),
        ("from stan_edge.cli.app import app; app(['--help'])", {"numpy"}),
        ("from stan_edge.cli.app import app; app(['run', '--help'])", {"numpy"}),
        ("import stan_edge.sources", {"pydantic"}),
    ):
        assert not loaded_by(code) & (HEAVY | more), code


def test_the_whole_runtime_never_loads_torch(tmp_path):
    clip = write_video(tmp_path / "short.mkv", [np.full((48, 64, 3), 5 * k, np.uint8) for k in range(25)])
    loaded = loaded_by(f"from stan_edge.cli.app import app; app(['run', {str(clip)!r}, '--json'])")
    assert {"cv2", "mediapipe"} <= loaded
    assert "torch" not in loaded


def test_matplotlib_is_loaded_where_a_picture_is_written_and_nowhere_else(tmp_path):
    clip = write_video(tmp_path / "short.mkv", [np.full((48, 64, 3), 5 * k, np.uint8) for k in range(25)])
    run = f"from stan_edge.cli.app import app; app(['run', {str(clip)!r}, '--json', '--no-person'"  # MediaPipe has it
    video, picture = str(tmp_path / "seen.mp4"), str(tmp_path / "seen.png")
    assert "matplotlib" not in loaded_by(f"{run}, '--save-video', {video!r}])")
    assert "matplotlib" in loaded_by(f"{run}, '--save-timeline', {picture!r}])")


def processor_s(*command: str) -> float:
    """Wall time would measure the machine's other work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick():
    """Half a second on a quiet machine, where the libraries that draw it take 0.17 s by themselves. In turns with
    these, because a busy neighbour on the core slows down both."""
    libraries = (sys.executable, "-c", "import typer, typer.rich_utils, pydantic, importlib.metadata")
    spent = [(processor_s(COMMAND, "--help"), processor_s(*libraries)) for _ in range(4)]
    assert min(help_s for help_s, _ in spent) < 3 * min(libraries_s for _, libraries_s in spent)
