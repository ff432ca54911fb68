"""The exported graphs on real engines against the float64 references."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from stan_edge.model.bundle import graph_file
from stan_edge.model.contract import FORMS, METHODS, Form
from stan_train.model import StanConfig, variant
from tests.stan_export.conftest import TINY

F32_TOLERANCE = 1e-5
"""Of the largest value; 1.5e-6 is the worst seen on stan-t. The bar of the project is 1e-4."""
BF16_TOLERANCE = 2e-2


@cache
def _reference(exported) -> dict[str, np.ndarray]:
    """One fresh clip for each class, and one for the predicted class."""
    classes = np.array([*range(exported.model.config.classes), -1])
    return exported.record(exported.clips(len(classes), seed=77), classes)


def _error(got: np.ndarray, expected: np.ndarray, largest: float | None = None) -> float:
    """Largest difference relative to the largest expected value."""
    return float(np.abs(got - expected).max() / (largest or np.abs(expected).max()))


def _errors(exported, engine, method: str, form: Form = "volumes") -> dict[str, float]:
    """Worst error of each output over all clips and classes, relative to the largest value of all of them.

    Not of each clip's own: the class-activation map of a class that is ruled out is a small rest of large terms,
    down to nothing at all, and takes 5 % error in bf16 while that of the predicted class takes 1 %.
    """
    run, reference = engine(exported.folder / graph_file(method, form)), _reference(exported)
    keys = {"logits": "logits", "frame_scores": f"scores_{method}", "map": f"map_{method}"}
    worst = dict.fromkeys(keys, 0.0)
    for k, target in enumerate(reference["class_index"]):
        outputs = run(frames=reference["frames"][k : k + 1], class_index=np.array([target]), noise=exported.noise)
        assert set(outputs) == set(keys)
        for output, key in keys.items():
            error = _error(outputs[output][0], reference[key][k], np.abs(reference[key]).max())
            worst[output] = np.maximum(worst[output], error)  # max() would let a NaN through
    return worst


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [pytest.param("stan_t", marks=pytest.mark.slow), "tiny"])
def test_explain_graphs_equal_float64_for_every_class(name, form, method, engine, request):
    errors = _errors(request.getfixturevalue(name), engine, method, form)
    assert all(error < F32_TOLERANCE for error in errors.values()), errors


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", [pytest.param("stan_t", marks=pytest.mark.slow), "tiny"])
def test_forward_graph_equals_float64(name, form, engine, request):
    exported = request.getfixturevalue(name)
    run, reference = engine(exported.folder / graph_file(None, form)), _reference(exported)
    for k, expected in enumerate(reference["logits"]):
        outputs = run(frames=reference["frames"][k : k + 1])
        assert set(outputs) == {"logits"}
        assert _error(outputs["logits"][0], expected) < F32_TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_bf16_scores_are_within_two_percent(method, stan_t, openvino_bf16):
    assert _errors(stan_t, openvino_bf16, method)["frame_scores"] < BF16_TOLERANCE


SHAPES = {
    "shortest": (StanConfig(classes=6, dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), head_dim=8), 32, 2),
    "cropped-twice": (
        StanConfig(classes=5, dims=(4, 12, 16, 40), depths=(2, 1, 1, 1), head_dim=8),
        80,
        4,
    ),
    "twice-as-deep": (StanConfig(classes=3, dims=(8, 16, 32, 32), depths=(1, 1, 2, 1), head_dim=16), 64, 6),
    "square-everywhere": (
        StanConfig(classes=16, dims=(48, 48, 16, 16), depths=(1, 1, 1, 1), head_dim=16),
        32,
        4,
    ),
}


@pytest.fixture(scope="module", params=SHAPES)
def other_shape(request, make, tmp_path_factory):
    """An export of another shape, and the reference of three clips: for the predicted class, 0 and 1."""
    exported = make(tmp_path_factory.mktemp(request.param), *SHAPES[request.param])
    return exported, exported.record(exported.clips(3, seed=13), np.arange(3) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_other_shapes_and_any_batch(form, engine, other_shape):
    exported, reference = other_shape
    clips, classes = reference["frames"], reference["class_index"]
    for method in METHODS:
        run = engine(exported.folder / graph_file(method, form))
        for batch in (slice(0, 3), slice(1, 2), slice(1, 3)):
            outputs = run(frames=clips[batch], class_index=classes[batch], noise=exported.noise)
            for output, key in (("logits", "logits"), ("frame_scores", f"scores_{method}"), ("map", f"map_{method}")):
                largest = np.abs(reference[key]).max()
                assert outputs[output].shape == reference[key][batch].shape
                assert _error(outputs[output], reference[key][batch], largest) < F32_TOLERANCE, (method, output)


@pytest.mark.parametrize("method", ["vanilla", "smoothgrad", "streaming", "staa-grad"])
def test_gradient_depends_on_input_and_class(method, tiny, engine):
    """A gradient baked in as a constant of an example input would pass a check on that input."""
    run = engine(tiny.folder / f"explain-{method}.onnx")
    first, second = tiny.clips(2, seed=5)
    scores = [
        run(frames=clip[None], class_index=np.array([k]), noise=tiny.noise)["frame_scores"][0]
        for clip, k in ((first, 0), (second, 0), (first, 1))
    ]
    for other in scores[1:]:
        assert _error(scores[0], other) > 0.01


@pytest.mark.parametrize("target", [-1, 0, 1, 2])
def test_smoothgrad_without_noise_is_vanilla(target, tiny, engine):
    feeds = {"frames": tiny.clips(1, seed=31), "class_index": np.array([target])}
    smooth = engine(tiny.folder / "explain-smoothgrad.onnx")(**feeds, noise=np.zeros_like(tiny.noise))
    vanilla = engine(tiny.folder / "explain-vanilla.onnx")(**feeds)
    for output in ("logits", "frame_scores", "map"):
        assert _error(smooth[output], vanilla[output]) < 1e-6, output


def test_smoothgrad_explains_the_class_of_the_clean_clip(tiny, engine):
    """Noise that drowns the clip would make the copies predict otherwise."""
    run = engine(tiny.folder / "explain-smoothgrad.onnx")
    loud = 50 * tiny.noise
    for clip in tiny.clips(4, seed=41):
        frames = clip[None]
        logits = engine(tiny.folder / "forward.onnx")(frames=frames)["logits"]
        by_itself = run(frames=frames, class_index=np.array([-1]), noise=loud)
        explicit = run(frames=frames, class_index=logits.argmax(1), noise=loud)
        np.testing.assert_allclose(by_itself["logits"], logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(by_itself["frame_scores"], explicit["frame_scores"])


def test_smoothgrad_of_one_copy_is_the_gradient_at_the_noisy_pixels(engine, make, tmp_path):
    exported = make(tmp_path, TINY, 48, 6, samples=1)
    frames = exported.clips(1, seed=51)
    noise = np.round(exported.noise)  # the vanilla graph takes whole gray levels
    noise = np.clip(frames + noise, 0, 255) - frames
    feeds = {"class_index": np.array([2])}
    smooth = engine(tmp_path / "explain-smoothgrad.onnx")(frames=frames, noise=noise.astype(np.float32), **feeds)
    vanilla = engine(tmp_path / "explain-vanilla.onnx")(frames=(frames + noise).astype(np.uint8), **feeds)
    for output in ("frame_scores", "map"):
        assert _error(smooth[output], vanilla[output]) < 1e-6, output


@pytest.mark.parametrize("name", [pytest.param("stan_t", marks=pytest.mark.slow), "tiny"])
def test_smoothgrad_is_the_same_in_every_run(name, engine, request):
    exported = request.getfixturevalue(name)
    run = engine(exported.folder / "explain-smoothgrad.onnx")
    clips, predicted = exported.clips(2, seed=61), np.array([-1])
    first, _, again = (run(frames=clips[k : k + 1], class_index=predicted, noise=exported.noise) for k in (0, 1, 0))
    for output, value in first.items():
        np.testing.assert_array_equal(value, again[output])


@pytest.fixture(scope="session", params=[112, 224])
def stan_s(request, make, tmp_path_factory):
    """An export with the reference of one clip; in float64 at 224 that takes minutes."""
    exported = make(tmp_path_factory.mktemp("stan-s"), variant("stan-s", classes=4), request.param, 20)
    return exported, exported.record(exported.clips(1, seed=3), np.array([2]))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stan_s(method, stan_s, engine):
    exported, reference = stan_s
    outputs = engine(exported.folder / f"explain-{method}.onnx")(
        frames=reference["frames"], class_index=reference["class_index"], noise=exported.noise
    )
    for output, key in (("logits", "logits"), ("frame_scores", f"scores_{method}"), ("map", f"map_{method}")):
        assert _error(outputs[output], reference[key]) < F32_TOLERANCE, (method, output)
