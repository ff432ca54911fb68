"""From nothing to a running model of one's own: train, export, run."""

from __future__ import annotations

import csv

import pytest
import torch

from stan_train.checkpoint import load_checkpoint
from stan_train.model import Stan, variant
from tests.e2e.conftest import records


@pytest.mark.slow
def test_a_model_is_trained_exported_and_run(stan_edge, tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    train = ("train", "-o", run, "--size", "32", "--clips", "10", "--epochs", "1")
    train += ("--epoch-windows", "16", "--batch", "8", "--micro-batch", "8")
    trained = stan_edge(*train, timeout_s=400)
    assert trained.returncode == 0, trained.stderr
    assert {"checkpoint.safetensors", "calibration.npz", "metrics.csv", "curves.png"} <= {p.name for p in run.iterdir()}
    with (run / "metrics.csv").open() as file:
        assert [float(row["lr"]) > 0 for row in csv.DictReader(file)] == [True]
    learnt = load_checkpoint(run / "checkpoint.safetensors")
    torch.manual_seed(0)
    before = Stan(variant("stan-t", len(learnt.classes))).state_dict()
    assert not any(torch.equal(before[name], weight) for name, weight in learnt.model.named_parameters())
    other = stan_edge(*train, "--seed", "1")
    assert other.returncode == 2
    assert "other options" in other.stderr
    exported = stan_edge("export", run / "checkpoint.safetensors", "-o", bundle, timeout_s=400)
    assert exported.returncode == 0, exported.stderr
    assert sum(path.stat().st_size for path in bundle.iterdir()) < 20e6
    seen = stan_edge("run", "--demo", "--json", "--model", bundle)
    assert seen.returncode == 0, seen.stderr
    assert records(seen)[-1]["windows"]["done"] == 31
    assert stan_edge("export", run / "checkpoint.safetensors", "-o", bundle).returncode == 2  # exists already
