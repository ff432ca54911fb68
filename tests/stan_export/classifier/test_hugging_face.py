"""Folders of Hugging Face: pixels as their processors make them, attention as the models themselves report it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from captum.attr import Saliency

from stan_edge.errors import CheckpointError
from stan_export.hugging_face import PROCESSOR, read_hugging_face
from tests.stan_export.classifier.conftest import CLASSES, FRAMES, SIZE
from tests.stan_export.conftest import build_with_tensorrt_rtx

TOLERANCE = 1e-5
STAA = ("timesformer", "vivit")


def _model(folder):
    """The model by itself, in float64, and the pixels that its own processor makes of a clip."""
    read = transformers.AutoModelForVideoClassification.from_pretrained
    model = read(folder, attn_implementation="eager").double().eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return model, lambda clip: processor(list(clip), return_tensors="pt")["pixel_values"].double()


@pytest.mark.parametrize(
    "kind", [STAA[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in (*STAA[1:], "videomae"))]
)
def test_logits_and_gradients_are_those_of_the_model_behind_its_own_processor(
    kind, hugging_face, bundles, engine, clips
):
    model, processed = _model(hugging_face(kind))
    run = engine(bundles(kind).explain("vanilla"))
    std = json.loads((hugging_face(kind) / "preprocessor_config.json").read_text())["image_std"]
    factor = 2.0 if kind == "vivit" else 1.0
    for clip in clips[1::2]:
        pixels = processed(clip)
        logits = model(pixel_values=pixels).logits[0].detach().numpy()
        saliency = Saliency(lambda x: model(pixel_values=x).logits)
        for explained in range(len(CLASSES)):
            got = run(frames=clip[None], class_index=np.array([explained]))
            # a pixel of value 0 to 1 moves the model's input by factor / std
            gradient = (
                saliency.attribute(pixels.clone().requires_grad_(), target=explained)[0]
                * factor
                / torch.tensor(std)[:, None, None]
            )
            expected = gradient.mean((1, 2, 3)).detach().numpy()
            assert np.abs(got["logits"][0] - logits).max() < TOLERANCE * np.abs(logits).max()
            assert np.abs(got["frame_scores"][0] - expected).max() < TOLERANCE * expected.max()


def test_staa_of_timesformer_is_the_attention_that_the_model_reports(hugging_face, bundles, engine, clips):
    model, processed = _model(hugging_face("timesformer"))
    temporal = []
    attention = model.timesformer.encoder.layer[-1].temporal_attention.attention
    attention.attn_drop.register_forward_pre_hook(lambda _module, args: temporal.append(args[0].detach()))
    run = engine(bundles("timesformer").explain("staa"))
    for clip in clips[1::2]:
        reported = model(pixel_values=processed(clip), output_attentions=True).attentions[-1]  # [T, heads, 17, 17]
        row = reported[:, :, 0, 1:].mean(1)
        space = (row / row.sum(1, keepdim=True)).view(FRAMES, 4, 4).detach().numpy()
        time = temporal.pop().mean((0, 1, 2)).numpy()  # over patches, heads, and the frames that attend
        got = run(frames=clip[None])
        assert time.sum() == pytest.approx(1)
        np.testing.assert_allclose(got["frame_scores"][0], time, rtol=TOLERANCE)
        np.testing.assert_allclose(got["map"][0], time[:, None, None] * space, rtol=1e-4)
        assert np.ptp(time) > 1e-3  # a curve that says nothing would pass


def test_staa_of_vivit_is_the_attention_that_the_model_reports(hugging_face, bundles, engine, clips):
    model, processed = _model(hugging_face("vivit"))
    run = engine(bundles("vivit").explain("staa"))
    for clip in clips[1::2]:
        attention = model(pixel_values=processed(clip), output_attentions=True).attentions[-1][0].mean(0)
        received = [attention[1:, 1 + k].mean().item() for k in range(FRAMES // 2 * 16)]
        time = np.array(received).reshape(FRAMES // 2, 16).sum(1).repeat(2)
        space = attention[0, 1:].detach().numpy().reshape(FRAMES // 2, 4, 4)
        space = (space / space.sum((1, 2), keepdims=True)).repeat(2, 0)
        got = run(frames=clip[None])
        np.testing.assert_allclose(got["frame_scores"][0], time, rtol=TOLERANCE)
        np.testing.assert_allclose(got["map"][0], time[:, None, None] * space, rtol=1e-4)
        assert np.ptp(time) > 1e-3


@pytest.mark.parametrize("file", ["forward.onnx", "explain-vanilla.onnx", "explain-staa.onnx"])
def test_tensorrt_builds_the_graphs(file, bundles):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    assert build_with_tensorrt_rtx(bundles("timesformer").folder / file).layers > 50


@pytest.mark.parametrize("kind", STAA)
def test_names_and_shapes_come_from_the_folder(kind, bundles):
    contract = bundles(kind).contract
    assert (contract.name, contract.classes, contract.alarms) == (kind, CLASSES, ("falling",))
    assert (contract.input.frames, contract.input.size_px, contract.input.window_s) == (FRAMES, SIZE, 1.0)
    assert list(contract.methods) == ["vanilla", "staa"]
    assert contract.methods["staa"].cell_px == 8
    assert not contract.methods["staa"].class_specific
    assert "model.safetensors sha256" in contract.provenance["weights"]


def test_a_folder_without_its_processor_is_refused(hugging_face, tmp_path):
    folder = shutil.copytree(hugging_face("vivit"), tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="image processor"):
        read_hugging_face(folder, window_s=1.0, background=None, alarms=None)


@pytest.mark.parametrize("damage", ["empty", "weights", "config"])
def test_a_folder_that_holds_no_model_is_refused(damage, hugging_face, tmp_path):
    folder = shutil.copytree(hugging_face("vivit"), tmp_path / "model")
    if damage == "empty":
        (folder / "config.json").unlink()
    elif damage == "weights":
        (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    else:
        (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="holds no video classifier"):
        read_hugging_face(folder, window_s=1.0, background=None, alarms=None)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (PROCESSOR, {"image_mean": "0.45"}, "image_mean"),
        (PROCESSOR, {"image_std": [0.2, 0.0, 0.2]}, "image_std"),
        (PROCESSOR, {"image_std": None}, "image_mean or image_std is missing"),
        ("config.json", {"num_channels": 1}, "no video classifier|channels"),
        ("config.json", {"id2label": {"0": 5, "1": "x", "2": "y"}}, "id2label"),
        ("config.json", {"hidden_size": "wide"}, "no video classifier"),
        ("config.json", {"model_type": 3}, "no video classifier"),
    ],
)
def test_a_field_that_cannot_be_meant_is_refused(hugging_face, tmp_path, name, change, says):
    folder = shutil.copytree(hugging_face("timesformer"), tmp_path / "copy")
    document = json.loads((folder / name).read_text()) | change
    (folder / name).write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=says):
        read_hugging_face(folder, window_s=1.0, background=None, alarms=None)
