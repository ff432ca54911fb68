"""Networks that are not ours: their graphs against captum and plain autograd on the network itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from captum.attr import LayerGradCam, Saliency
from torch import Tensor, nn

from stan_edge.errors import ConfigError, ParityError
from stan_edge.pipeline.smoothgrad import noise
from stan_export.classifier import classifier
from stan_export.export import write_bundle
from tests.stan_export.classifier.conftest import CLASSES, FRAMES, SIZE, Convolutional, Foreign, draw_weights
from tests.stan_export.conftest import window

TOLERANCE = 1e-5
METHODS = ("gradcam", "vanilla", "smoothgrad", "streaming")


def _pixels(clip: np.ndarray) -> Tensor:
    """`[2, 3, T, S, S]`, the clip twice: a batch of one through a BatchNorm is differentiated wrongly."""
    one = torch.from_numpy(clip.astype(np.float64)).movedim(-1, 0) / 255
    return ((one - 0.45) / 0.225)[None].repeat(2, 1, 1, 1, 1).requires_grad_()


def _magnitude(gradient: Tensor) -> np.ndarray:
    return gradient[0].abs().mean(0).mean((1, 2)).detach().numpy()


def _expected(network: nn.Module, method: str, pixels: Tensor, explained: int) -> np.ndarray:
    """Frame scores by captum."""
    if method == "gradcam":
        attributions = LayerGradCam(network, network.last).attribute(
            pixels, target=explained, attr_dim_summation=True, relu_attributions=True
        )
        return attributions[0, 0].mean((1, 2)).repeat_interleave(2).detach().numpy()
    saliency = Saliency(network)
    if method == "vanilla":
        return _magnitude(saliency.attribute(pixels, target=explained, abs=False))
    drawn = noise(window(SIZE, FRAMES), 8 if method == "smoothgrad" else 1)
    gradients = []
    for one in drawn:
        added = torch.from_numpy(one.astype(np.float64)).movedim(-1, 0) / (255 * 0.225)
        gradients.append(
            saliency.attribute((pixels + added).detach().requires_grad_(), target=explained, abs=False).detach()
        )
    return _magnitude(torch.stack(gradients).mean(0))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_equals_captum_for_every_class_on_fresh_clips(method, convolutional: Foreign, clips, engine):
    run = engine(convolutional.bundle.explain(method))
    exact = draw_weights(Convolutional()).double()
    drawn = noise(window(SIZE, FRAMES), 8)
    for clip in clips:
        pixels = _pixels(clip)
        logits = exact(pixels)[0].detach().numpy()
        for asked in (-1, *range(len(CLASSES))):
            got = run(frames=clip[None], class_index=np.array([asked]), noise=drawn)
            explained = int(logits.argmax()) if asked < 0 else asked
            expected = _expected(exact, method, pixels, explained)
            assert np.abs(got["logits"][0] - logits).max() < TOLERANCE * np.abs(logits).max()
            assert np.abs(got["frame_scores"][0] - expected).max() <= TOLERANCE * expected.max()
            assert got["map"].shape[1] == FRAMES
            np.testing.assert_allclose(got["map"][0].mean((1, 2)), got["frame_scores"][0], rtol=1e-4)


def test_the_graphs_are_small_and_portable_and_share_their_weights(convolutional: Foreign):
    folder = convolutional.bundle.folder
    for path in folder.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions
        assert model.ir_version <= 10
        assert not [n for n in model.graph.node if n.op_type == "LayerNormalization" and len(n.output) > 1]
        assert str(Path.cwd()).encode() not in path.read_bytes()
        assert b"stack_trace" not in path.read_bytes()


def test_what_a_bundle_means_is_in_its_contract(convolutional: Foreign):
    contract = convolutional.bundle.contract
    assert (contract.classes, contract.background, contract.alarms) == (CLASSES, "nothing", CLASSES[1:])
    assert contract.methods["gradcam"].cell_px == 2  # 15 cells of 32 pixels
    assert contract.methods["vanilla"].cell_px == 16
    assert {contract.methods[method].samples for method in METHODS} == {None, 8, 1}


class _WithoutTrueGradient(torch.autograd.Function):
    @staticmethod
    def forward(_context, x):
        return x**2

    @staticmethod
    def backward(_context, dy):
        return dy


class _Lying(Convolutional):
    def forward(self, pixels):
        return super().forward(_WithoutTrueGradient.apply(pixels))


class _Branching(Convolutional):
    def forward(self, pixels):
        return super().forward(pixels if pixels.mean().item() > 0 else -pixels)


def test_a_network_whose_gradient_is_not_its_slope_is_refused():
    with pytest.raises(ParityError, match="gradient of this network gives a slope of"):
        classifier(draw_weights(_Lying()), "lying", CLASSES, window(SIZE, FRAMES))


def test_a_network_that_cannot_be_traced_is_refused_and_nothing_is_left(tmp_path):
    network = classifier(draw_weights(_Branching()), "branching", CLASSES, window(SIZE, FRAMES))
    with pytest.raises(ConfigError, match="PyTorch cannot write this network as a graph"):
        write_bundle(network, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": ("a", "b")}, "for 2 classes"),
        ({"gradcam_layer": "layer9"}, "no layer 'layer9'"),
        ({"alarms": ["fainting"]}, "fainting: not among the classes"),
        ({"background": "empty"}, "empty: not among the classes"),
    ],
)
def test_options_that_do_not_fit_the_network_are_refused(options, says):
    given = {"classes": CLASSES} | options
    with pytest.raises(ConfigError, match=says):
        classifier(draw_weights(Convolutional()), "it", input=window(SIZE, FRAMES), **given)


def test_pixels_that_the_network_does_not_take_are_refused():
    with pytest.raises(ConfigError, match="does not take float"):
        classifier(nn.Linear(7, 3), "it", CLASSES, window(SIZE, FRAMES))


def test_a_layer_whose_steps_do_not_divide_the_frames_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=f"steps in time for {FRAMES} frames"):
        network = draw_weights(Convolutional())
        network.last.stride = (3, 1, 1)
        classifier(network, "it", CLASSES, window(SIZE, FRAMES), gradcam_layer="last")


def test_the_network_is_left_as_it_is():
    network = Convolutional().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    classifier(network, "it", CLASSES, window(SIZE, FRAMES))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
