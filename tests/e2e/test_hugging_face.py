"""A classifier of Hugging Face, exported and run by the installed command."""

from __future__ import annotations

import shutil

import pytest

from tests.e2e.conftest import records
from tests.stan_export.classifier.conftest import CLASSES, FRAMES, hugging_face  # noqa: F401 - a fixture


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timesformer", pytest.param("vivit", marks=pytest.mark.slow)])
def test_it_runs_like_any_bundle(kind, stan_edge, hugging_face, tmp_path):  # noqa: F811
    exported = stan_edge(
        "export", hugging_face(kind), "-o", tmp_path / "b", "--window", "1.6", "--background", "nothing", timeout_s=400
    )
    assert exported.returncode == 0, exported.stderr
    for method in ("staa", None):
        options = ("--method", method) if method else ()
        ran = stan_edge("run", "--demo", "--json", "--no-person", "--model", tmp_path / "b", *options)
        assert ran.returncode == 0, ran.stderr
        start, *windows, _end = records(ran)
        assert start["method"] == (method or "vanilla")
        windows = [record for record in windows if record["type"] == "window"]
        assert len(windows) > 10
        assert all(window["valid"] and set(window["probabilities"]) == set(CLASSES) for window in windows)
        assert {len(window["frames"]) for window in windows} == {FRAMES}
    verified = stan_edge("verify", tmp_path / "b")
    assert verified.returncode == 0, verified.stdout


def test_what_it_does_not_say_must_be_given(refused, hugging_face, tmp_path):  # noqa: F811
    folder = hugging_face("vivit")
    refused("export", folder, "-o", tmp_path / "b", says=["how long its windows are", "--window SECONDS"])
    refused("export", folder, "-o", tmp_path / "b", "--window", "2", "--alarms", "flying", says=["flying", "falling"])
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "config.json").unlink()
    refused("export", bare, "-o", tmp_path / "b", "--window", "2", says=["holds no video classifier"])
    assert not (tmp_path / "b").exists()


def test_a_checkpoint_knows_its_windows(refused, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    checkpoint.write_bytes(b"")
    refused("export", checkpoint, "-o", tmp_path / "b", "--window", "2", says=["--window", "a checkpoint knows them"])
