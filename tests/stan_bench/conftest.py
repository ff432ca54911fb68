from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stan_bench.measure import Recording, measure_camera, measure_fast
from stan_bench.pure import measure_pure, placement
from stan_bench.result import BenchReport, ColdStart, Measured, Mode, conditions, software
from stan_edge.backends.base import Backend
from stan_edge.model.bundle import Bundle
from stan_edge.parity import replay
from stan_edge.pipeline.predictor import Explainer


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames, 10 a second: six windows, of which five warm up."""
    path: Path = tmp_path_factory.mktemp("bench") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for picture in np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8):
        writer.write(picture)
    writer.release()
    return path


def report_of(
    mode: Mode, measured: Measured, bundle: Bundle, backend: Backend, explainer: Explainer, recording: Recording | None
) -> BenchReport:
    made_of = conditions(mode, bundle, backend, explainer.method, threads=1)
    if recording is not None:
        made_of |= recording.conditions(len(measured.cameras))
    row, ran_on = replay(bundle, backend, explainer), placement(bundle, backend, explainer.method)
    cold_start = ColdStart.of(1.0, measured, (measured.first_frame_s or 0.0) - 2.0)
    return BenchReport(mode, made_of, software(backend), row, measured, ran_on, cold_start)


@pytest.fixture(scope="session")
def camera_report(tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path) -> BenchReport:
    """Two cameras, played once."""
    recording = Recording(clip, person=False)
    measured = measure_camera(tiny_bundle, backend, explainer, recording, cameras=2)
    return report_of("camera", measured, tiny_bundle, backend, explainer, recording)


@pytest.fixture(scope="session")
def fast_report(tiny_bundle: Bundle, backend: Backend, explainer: Explainer, clip: Path) -> BenchReport:
    recording = Recording(clip, person=False)
    measured = measure_fast(tiny_bundle, backend, explainer, recording, plays=2)
    return report_of("fast", measured, tiny_bundle, backend, explainer, recording)


@pytest.fixture(scope="session")
def pure_report(tiny_bundle: Bundle, backend: Backend, explainer: Explainer) -> BenchReport:
    measured = measure_pure(tiny_bundle, backend, explainer, rounds=3)
    return report_of("pure", measured, tiny_bundle, backend, explainer, None)
