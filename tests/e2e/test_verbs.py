"""verify, doctor, bench."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stan_edge.backends.openvino import the_core
from stan_edge.model.bundle import open_bundle, shipped_bundle
from tests.e2e.conftest import records


@pytest.fixture(scope="module")
def rows(offline):
    ran = offline("verify", "--json", timeout_s=400)
    assert ran.returncode == 0, ran.stderr
    return records(ran)


@pytest.mark.slow
def test_verify_prints_the_errors_of_every_backend_and_method(rows):
    assert {(row["backend"], row["method"]) for row in rows if row["precision"] == "f32"} == {
        (backend, method)
        for backend in ("openvino", "onnxruntime")
        for method in open_bundle(shipped_bundle()).contract.methods
    }
    for row in rows:
        assert row["tolerance"] == (1e-4 if row["precision"] == "f32" else 2e-2)
        within = max(row["logits_error"], row["scores_error"], row["map_error"]) <= row["tolerance"]
        assert row["passed"] == within
        assert row["passed"] or row["precision"] != "f32"


@pytest.mark.slow
@pytest.mark.xfail(
    "BF16" in the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="bf16 misses 2 % with the shipped model: vanilla maps 5.9 %, smoothgrad 5.2 %, staa 3.4 %",
    strict=True,
)
def test_every_precision_present_reproduces_float64(rows):
    assert all(row["passed"] for row in rows)


@pytest.mark.slow
def test_a_precision_that_misses_parity_is_refused_by_run(stan_edge, rows):
    for row in rows:
        if row["method"] == "vanilla" and row["precision"] != "f32":
            options = ("--method", row["method"], "--backend", row["backend"], "--precision", row["precision"])
            ran = stan_edge("run", "--demo", "--json", *options)
            assert ran.returncode == (0 if row["passed"] else 2)
            assert row["passed"] or row["precision"] in ran.stderr


@pytest.mark.slow
def test_doctor_says_that_this_machine_works(stan_edge):
    ran = stan_edge("doctor")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for word in ("openvino f32", "onnxruntime f32", "person", "model"):
        assert word in ran.stdout


@pytest.mark.slow
def test_bench_keeps_the_raw_values(offline):
    ran = offline("bench", "--repeat", "1", "--json", "-")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    for stage in ("decode", "region", "view", "explain", "conclude"):
        values = report["stages_ms"][stage]
        assert values
        assert report["percentiles_ms"][stage]["p50"] == np.percentile(values, 50)
        assert report["percentiles_ms"][stage]["p99"] is None  # fewer than a thousand values
    explained = report["stages_ms"]["explain"] + report["warm_up_ms"]["explain"]
    assert len(explained) == report["windows"]["done"]
    assert report["mode"] == "camera"
    cold = report["cold_start"]
    assert 0 < cold["model_loaded_s"] < cold["first_frame_s"] < cold["first_result_s"]
