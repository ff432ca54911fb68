"""The bundle in the wheel against float64 autograd on the checkpoint it was made from, on inputs it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stan_edge.backends.registry import open_backend
from stan_edge.files import file_digest
from stan_edge.model.bundle import methods_of, open_bundle, shipped_bundle
from stan_edge.pipeline.inputs import InputStream
from stan_edge.pipeline.predictor import PREDICTED, Explainer
from stan_edge.sources import VideoFile, demo_clip
from stan_export.parity import record
from stan_train.checkpoint import load_checkpoint

CHECKPOINT = Path(__file__).parents[2] / "train" / "checkpoints" / "stan-t.safetensors"


def test_the_bundle_was_made_from_this_checkpoint() -> None:
    assert open_bundle(shipped_bundle()).contract.provenance["checkpoint_sha256"] == file_digest(CHECKPOINT)


def noise() -> np.ndarray:
    return np.random.default_rng(20).integers(0, 256, (20, 112, 112, 3), np.uint8)


def fall_of_the_demo() -> np.ndarray:
    """The window from 2.4 to 4.4 s, framed without a person box."""
    inputs = InputStream(open_bundle(shipped_bundle()).contract.input, 0.2, None, live=False)
    source = VideoFile(demo_clip())
    windows = []
    while frame := source.read():
        windows += inputs.take(frame)[1]
    return inputs.network_input(windows[12]).pictures[0]


@pytest.mark.parametrize("frames", [pytest.param(noise, marks=pytest.mark.slow), fall_of_the_demo])
def test_every_class_of_every_method_equals_float64_on_fresh_windows(frames) -> None:
    bundle, checkpoint = open_bundle(shipped_bundle()), load_checkpoint(CHECKPOINT)
    window = frames()
    classes = np.arange(len(bundle.contract.classes))
    windows = np.stack([window] * len(classes))
    methods = [method for method in methods_of(bundle) if method != "smoothgrad"]
    reference = record(checkpoint.model, checkpoint.input, windows, classes, methods=methods)
    for name in ("openvino", "onnxruntime"):
        backend = open_backend(name)
        for method in methods:
            explainer = Explainer(bundle, backend, method)
            for c in classes:
                got = explainer(window, int(c))
                for value, key in (
                    (got.logits, "logits"),
                    (got.frame_scores, f"scores_{method}"),
                    (got.map, f"map_{method}"),
                ):
                    # a Grad-CAM that is negative everywhere is zero: the largest of all classes is the measure
                    largest = max(np.abs(reference[key][c]).max(), 1e-3 * np.abs(reference[key]).max())
                    assert np.abs(value - reference[key][c]).max() <= 1e-4 * largest, (name, method, c, key)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [noise, fall_of_the_demo])
def test_smoothgrad_of_the_predicted_class_equals_float64_on_fresh_windows(frames) -> None:
    """One class: in float64 each takes half a minute."""
    bundle, checkpoint = open_bundle(shipped_bundle()), load_checkpoint(CHECKPOINT)
    window = frames()
    samples = bundle.contract.methods["smoothgrad"].samples
    reference = record(
        checkpoint.model,
        checkpoint.input,
        window[None],
        np.array([PREDICTED]),
        samples=samples,
        methods=("smoothgrad",),
    )
    for name in ("openvino", "onnxruntime"):
        got = Explainer(bundle, open_backend(name), "smoothgrad")(window)
        for value, key in (
            (got.logits, "logits"),
            (got.frame_scores, "scores_smoothgrad"),
            (got.map, "map_smoothgrad"),
        ):
            assert np.abs(value - reference[key][0]).max() <= 1e-4 * np.abs(reference[key]).max(), (name, key)
