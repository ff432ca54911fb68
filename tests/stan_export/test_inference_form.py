from __future__ import annotations

import copy

import numpy as np
import torch

from stan_export.inference_form import GlobalWeights, LocalWeights, fold_batchnorm, inference_form


def _random_clip(exported) -> torch.Tensor:
    spec = exported.input
    draw = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, spec.frames, spec.size_px, spec.size_px, generator=draw, dtype=torch.double)


def test_folding_keeps_logits_and_leaves_the_model_alone(tiny):
    before = copy.deepcopy(tiny.model.state_dict())
    clip = _random_clip(tiny)
    folded = fold_batchnorm(tiny.model).network(clip)
    torch.testing.assert_close(folded, copy.deepcopy(tiny.model).double()(clip), rtol=1e-11, atol=1e-11)
    assert all(torch.equal(value, before[key]) for key, value in tiny.model.state_dict().items())


def test_folded_class_activation_map_is_that_of_the_normed_features(tiny):
    clip = _random_clip(tiny)
    folded = fold_batchnorm(tiny.model)
    got = torch.einsum("yc,bcthw->bythw", folded.network.head.weight, folded.network.features(clip))
    got += folded.cam_offset.view(-1, 1, 1, 1)
    double = copy.deepcopy(tiny.model).double()
    expected = torch.einsum("yc,bcthw->bythw", double.head.weight, double.features(clip))
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


def test_inference_form_has_every_block_in_float32(tiny):
    form = inference_form(tiny.model)
    assert tuple(len(stage.blocks) for stage in form.stages) == tiny.model.config.depths
    kinds = [LocalWeights, LocalWeights, GlobalWeights, GlobalWeights]
    for stage, kind in zip(form.stages, kinds, strict=True):
        assert all(isinstance(block, kind) for block in stage.blocks)
    assert form.head.weight.dtype == np.float32
    assert form.head.weight.shape == (tiny.model.config.dims[3], tiny.model.config.classes)
