"""A verb whose libraries are missing names the extra that brings them, and nothing else happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stan_edge.cli.app import app
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import shipped_bundle

BUNDLE = str(shipped_bundle())
TRAIN = ("torch", "safetensors", "matplotlib", "lightning_fabric", "tensorboard", "sklearn")
VERBS = {
    ("train", "-o", "OUT"): ("train", TRAIN),
    ("export", "checkpoint.safetensors", "-o", "OUT"): ("export", ("torch", "safetensors", "onnx")),
    ("export", ".", "-o", "OUT"): ("transformers", ("transformers", "onnxscript")),
    ("calibrate", BUNDLE, "--data", "clips.csv"): ("train", ("scipy",)),
    ("evaluate", BUNDLE, "--data", "clips.csv", "-o", "OUT"): ("train", ("sklearn", "scipy", "matplotlib")),
    ("evaluate", BUNDLE, "--data", "clips.csv", "-o", "OUT", "--faithfulness"): ("export", ("torch", "onnx")),
    ("tables", "-o", "OUT"): ("export", (*TRAIN, "onnx", "scipy")),
}


@pytest.mark.parametrize(
    ("verb", "extra", "module"),
    [(verb, extra, module) for verb, (extra, modules) in VERBS.items() for module in modules],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, tuple) else value,
)
def test_a_verb_names_the_extra_that_is_missing(
    verb: tuple[str, ...], extra: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]  # as where it is not installed
    with pytest.raises(ConfigError, match=rf"^{module} is not installed; run: pip install 'stan-edge\[{extra}\]'\.$"):
        CliRunner().invoke(app, verb, catch_exceptions=False)
    assert not list(tmp_path.iterdir())


def test_synthetic_clips_need_no_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in {module for _, modules in VERBS.values() for module in modules}:
        monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    options = ("--clips", "1", "--seconds", "2", "--size", "160x120", "--workers", "1")
    ran = CliRunner().invoke(app, ["data", "synth", "-o", str(tmp_path / "clips"), *options], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "clips" / "manifest.csv").is_file()
    ran = CliRunner().invoke(app, ["data", "scan", str(tmp_path / "clips"), "-o", str(tmp_path / "scanned.csv")])
    assert ran.exit_code == 0, ran.output
