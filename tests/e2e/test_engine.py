"""`stan-edge engine`, as a user would run it on a machine without a GPU."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stan_edge.backends.cuda import has_gpu
from stan_edge.model.bundle import Bundle
from tests.e2e.conftest import COMMAND, check_refusal

pytest.importorskip("tensorrt_rtx", exc_type=ImportError)

AHEAD = ("--backend", "tensorrt-rtx", "--method", "gradcam")


def test_engines_are_built_ahead_of_time_kept_and_found_again(tiny_bundle: Bundle, tmp_path: Path) -> None:
    engine = [COMMAND, "engine", str(tiny_bundle.folder), *AHEAD, "--precision", "f16"]
    home = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    first, again = (
        subprocess.run(engine, capture_output=True, text=True, timeout=300, check=True, env=home) for _ in range(2)
    )
    assert "forward: built in" in first.stdout
    assert "explain-gradcam: built in" in first.stdout
    assert again.stdout.count("is there already") == 2
    found = sorted(path.relative_to(tmp_path / "stan-edge" / "engines") for path in tmp_path.rglob("*.engine"))
    assert [path.name.rpartition("-")[0] for path in found] == ["explain-gradcam", "forward"]
    assert all(path.parent.name.endswith("-f16-ahead-of-time") for path in found)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_a_damaged_engine_is_refused_and_built_again_by_force(
    tiny_bundle: Bundle, tmp_path: Path, stan_edge: Callable[..., Any]
) -> None:
    engine = ("engine", tiny_bundle.folder, *AHEAD, "--out", tmp_path / "engines")
    assert stan_edge(*engine).returncode == 0
    (forward,) = (tmp_path / "engines").rglob("forward-*.engine")
    whole = forward.read_bytes()
    forward.write_bytes(whole[:-10])
    ran = stan_edge(*engine)
    check_refusal(ran.returncode, ran.stdout, ran.stderr, "is damaged (its digest is wrong)", "--force")
    assert forward.read_bytes() == whole[:-10]
    assert stan_edge(*engine, "--force").returncode == 0
    assert len(forward.read_bytes()) > len(whole) // 2
    assert stan_edge(*engine).stdout.count("is there already") == 2


@pytest.mark.skipif(has_gpu(), reason="this machine has an NVIDIA GPU")
def test_tensorrt_itself_builds_only_where_the_gpu_is(refused: Callable[..., str]) -> None:
    refused("engine", says=["only on the machine whose GPU they are for", "--backend tensorrt-rtx"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--backend", "openvino"), "--backend: 'openvino' has no engines to build; choose tensorrt or tensorrt-rtx"),
        (("--backend", "tensorrt-rtx", "--precision", "int8"), "No precision is called 'int8'"),
        (("--backend", "tensorrt-rtx", "--method", "magic"), "Method magic"),
        (("nowhere", "--backend", "tensorrt-rtx"), "There is no model bundle at nowhere"),
    ],
    ids=["backend", "precision", "method", "bundle"],
)
def test_wrong_input_is_one_sentence(refused: Callable[..., str], args: tuple[str, ...], says: str) -> None:
    refused("engine", *args, says=[says])


def test_a_folder_that_cannot_be_written_is_named(
    refused: Callable[..., str], tiny_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    refused("engine", tiny_bundle.folder, *AHEAD, "-o", tmp_path / "file", says=["cannot be written", "--out"])
