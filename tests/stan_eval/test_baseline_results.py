from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stan_edge.model.contract import InputSpec
from stan_eval.baseline_features import ClipFeatures, clip_features
from stan_eval.baseline_results import BaselineData, baseline_result
from stan_train.baselines.resnet import load_resnet50
from stan_train.manifest import Clip
from tests.conftest import MakeClip

CLASSES = ("background", "falling")
WIDTH = 64


def clip(number: int, label: str, frames: int, fps: float) -> Clip:
    third = frames // 3
    important = ((third, 2 * third),) if label == "falling" else ()
    group = f"{label}-{number}"
    return Clip(Path(group), "test", label, group, group, "1", fps, frames, 8, 8, important, (), "none", None)


def featured(what: Clip) -> ClipFeatures:
    """Features that rise where the activity shows."""
    rng = np.random.default_rng([len(what.label), what.frames, int(what.group[-1])])
    noise = rng.normal(0, 0.3, (2, what.frames, WIDTH))
    signal = what.important_flags()[:, None] * (np.arange(WIDTH) < WIDTH // 2)
    whole, local = (noise + signal).astype(np.float32)
    return ClipFeatures(what, whole, local)


@pytest.fixture(scope="module")
def data(input_spec: InputSpec) -> BaselineData:
    def some(count: int, frames: int, fps: float) -> list[ClipFeatures]:
        return [featured(clip(n, label, frames, fps)) for n in range(count) for label in CLASSES]

    long = [featured(clip(n, "falling", 240, 30.0)) for n in range(2)]
    return BaselineData(
        train=some(8, 60, 10.0),
        short=some(6, 60, 10.0),
        long=long,
        classes=CLASSES,
        spec=input_spec,
        hop_s=0.4,
    )


def test_a_cnn_that_sees_the_activity_finds_its_windows_and_frames(data: BaselineData) -> None:
    result = baseline_result("cnn", "global+local", data, 0)
    assert result.name == "CNN (ResNet-50), global+local"
    assert result.classification is not None
    assert result.classification.overall is not None
    assert result.classification.overall.value > 0.9
    assert set(result.short) == {"vanilla", "smoothgrad", "gradcam"}
    cam = result.short["gradcam"].overall
    assert cam is not None
    assert cam.average_precision.value > cam.share + 0.2
    long = result.long["gradcam"].overall
    assert long is not None
    assert long.f1.n == 480  # every frame of both clips


def test_models_without_frame_scores_are_classified_only(data: BaselineData) -> None:
    result = baseline_result("fcl", "local", data, 0)
    assert result.classification is not None
    assert result.short == result.long == {}


def test_features_are_computed_once(make_clip: MakeClip, tmp_path: Path) -> None:
    video = make_clip(tmp_path / "a.mp4", [60, 120, 180])
    resnet = load_resnet50(None)
    first = clip_features(video, resnet, 32, tmp_path)
    assert first.whole.shape == (3, 2048)
    assert np.array_equal(first.whole, first.local)  # nobody known: the whole frame is the region
    assert first.of("global+local").shape == (3, 4096)
    (kept,) = tmp_path.glob("*.npz")
    stamp = kept.stat().st_mtime_ns
    again = clip_features(replace(video, label="falling"), resnet, 32, tmp_path)
    assert kept.stat().st_mtime_ns == stamp
    assert np.array_equal(again.whole, first.whole)
