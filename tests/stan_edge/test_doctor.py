from __future__ import annotations

import pytest

from stan_edge.backends.base import PRECISIONS
from stan_edge.backends.registry import BACKENDS, GPU_BACKENDS
from stan_edge.doctor import Finding, examine
from stan_edge.model.bundle import shipped_bundle


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    if not shipped_bundle().is_dir():
        pytest.skip(f"the bundle that ships, {shipped_bundle().name}, has not been exported yet")
    return {finding.what: finding for finding in examine()}


def test_every_engine_and_precision_is_tried(findings: dict[str, Finding]) -> None:
    for name in BACKENDS:
        assert findings[f"{name} f32"].works
        for precision in PRECISIONS:
            assert findings[f"{name} {precision}"].found


def test_the_shipped_model_and_the_video_reader_work(findings: dict[str, Finding]) -> None:
    assert findings["model"].works
    assert findings["video"].works
    assert "FFMPEG" in findings["video"].found


def test_what_a_run_can_do_without_is_not_needed(findings: dict[str, Finding]) -> None:
    for what in ("cameras", "screen", "onnxruntime bf16"):
        assert not findings[what].needed


def test_every_engine_on_a_gpu_is_named_with_why_it_cannot_run(findings: dict[str, Finding]) -> None:
    for name in GPU_BACKENDS:
        lines = [finding for what, finding in findings.items() if what.partition(" ")[0] == name]
        assert lines
        for line in lines:
            assert not line.needed
            assert line.works or "GPU" in line.found or "install" in line.found
