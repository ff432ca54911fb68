"""Traced gradients of single layers on real engines, and what the rewrites are for."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from stan_edge.errors import ConfigError
from stan_export.classifier import portable, tracing
from stan_export.classifier.tracing import traced
from tests.stan_export.classifier.conftest import draw_weights
from tests.stan_export.conftest import run_onnxruntime, run_openvino

WIDTH = 96
"""Below that OpenVINO's CPU plugin packs no weights."""


def _slopes(layer):
    """A function that gives the gradient of a layer's output, weighted so that every element counts."""

    def slopes(x):
        x = x.detach().requires_grad_()
        y = layer(x)
        (gradient,) = torch.autograd.grad(y, x, torch.cos(torch.arange(y.numel()).view(y.shape)).to(y))
        return (gradient,)

    return slopes


def _errors(layer, x, tmp_path, engines=(run_onnxruntime, run_openvino)):
    """Of the traced gradient at fresh values, relative to the largest in float64, by engine."""
    layer = draw_weights(copy.deepcopy(layer)).requires_grad_(False)
    onnx.save(traced(_slopes(layer), {"x": x}, ["gradient"]), tmp_path / "graph.onnx")
    fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    (expected,) = _slopes(layer.double())(fresh.double())
    got = [engine(tmp_path / "graph.onnx")(x=fresh.numpy())["gradient"] for engine in engines]
    return [np.abs(one - expected.numpy()).max() / expected.abs().max().item() for one in got]


LAYERS = {
    "strided, a pixel left over": nn.Conv3d(4, 6, (3, 5, 5), stride=(1, 2, 2), padding=(1, 1, 1)),
    "as many channels out as in": nn.Conv3d(4, 4, 3, stride=2, padding=1),
    "dilated": nn.Conv3d(4, 6, 3, dilation=2),
    "depthwise": nn.Conv3d(4, 4, 3, padding=1, groups=4),
    "transposed": nn.ConvTranspose3d(4, 6, 2, stride=2),
    "transposed square": nn.ConvTranspose3d(4, 4, (1, 2, 2), stride=(1, 2, 2)),
    "overlapping max pool": nn.MaxPool3d(3, 2, 1),
    "average pool, a pixel left over": nn.AvgPool3d((1, 2, 2)),
    "overlapping average pool": nn.AvgPool3d(3, 2, 1),
    "norms": nn.Sequential(nn.BatchNorm3d(4), nn.GroupNorm(2, 4)),
    "activations": nn.Sequential(nn.ReLU(), nn.SiLU(), nn.GELU(), nn.Hardswish()),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_a_layer_is_that_of_float64(name, tmp_path):
    x = torch.randn((1, 4, 6, 15, 15), generator=torch.Generator().manual_seed(2))
    assert max(_errors(LAYERS[name], x, tmp_path)) < 1e-5


class _Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.head((x + self.second(self.first(x).tanh())).mean(1))


def test_a_square_weight_has_a_transpose_of_its_own(tmp_path, monkeypatch):
    """Without it OpenVINO gives the right values and a wrong gradient; this test tells when it no longer does."""
    x = torch.randn((1, 10, WIDTH), generator=torch.Generator().manual_seed(2))
    assert max(_errors(_Residual(), x, tmp_path)) < 1e-5
    monkeypatch.setattr(portable, "_own_transposes", lambda _graph: None)
    assert _errors(_Residual(), x, tmp_path, (run_openvino,))[0] > 0.01


def test_a_norm_has_one_output():
    """TensorRT refuses three, and a gradient asks for them."""
    layer = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)).requires_grad_(False)
    graph = traced(_slopes(layer), {"x": torch.randn(1, 3, WIDTH)}, ["gradient"]).graph
    assert [len(node.output) for node in graph.node if node.op_type == "LayerNormalization"] == [1]
    assert "Reciprocal" in {node.op_type for node in graph.node}


def test_an_operator_without_a_graph_is_named():
    with pytest.raises(ConfigError, match=r"PyTorch cannot write this network as a graph .*linalg"):
        traced(lambda x: (torch.linalg.inv(x),), {"x": torch.eye(3)}, ["y"])


def test_what_pytorch_learns_to_decompose_need_not_be_ours():
    """When this fails, delete the rule."""
    known = tracing.core_aten_decompositions()
    assert not [op for op in tracing.OURS if op in known]
