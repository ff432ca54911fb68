from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from stan_edge.errors import ConfigError
from stan_train.model import VARIANTS, DropPath, Stan, StanConfig, variant

PUBLISHED = Path(__file__).parents[3] / "shared" / "spec" / "uniformer_s_state_dict.txt"

KNOWN = {
    "patch_embed1.proj.weight": (64, 3, 3, 4, 4),
    "patch_embed1.norm.bias": (64,),
    "patch_embed3.proj.weight": (320, 128, 1, 2, 2),
    "blocks1.0.pos_embed.weight": (64, 1, 3, 3, 3),
    "blocks2.3.attn.weight": (128, 1, 5, 5, 5),
    "blocks2.0.norm1.running_var": (128,),
    "blocks2.1.mlp.fc1.weight": (512, 128, 1, 1, 1),
    "blocks3.7.attn.qkv.weight": (960, 320),
    "blocks4.2.mlp.fc2.weight": (512, 2048),
    "norm.running_mean": (512,),
    "head.weight": (400, 512),
}


@pytest.fixture(scope="module")
def stan_s_shapes() -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in Stan(VARIANTS["stan-s"]).state_dict().items()}


@pytest.mark.parametrize("key", KNOWN)
def test_stan_s_has_the_names_and_shapes_of_the_public_checkpoints(
    stan_s_shapes: dict[str, tuple[int, ...]], key: str
) -> None:
    assert stan_s_shapes[key] == KNOWN[key]


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the list of the public checkpoints' tensors is not here")
def test_stan_s_has_exactly_the_tensors_of_the_public_checkpoints(stan_s_shapes: dict[str, tuple[int, ...]]) -> None:
    lines = re.findall(r"^(\S+\.\S+) \(([\d, ]*)\)$", PUBLISHED.read_text(), re.MULTILINE)
    published = {key: tuple(int(size) for size in re.findall(r"\d+", shape)) for key, shape in lines}
    assert len(published) == 331
    assert stan_s_shapes == published


@pytest.mark.parametrize(("name", "classes", "millions"), [("stan-s", 4, 21.2), ("stan-t", 5, 2.97)])
def test_a_variant_has_the_size_it_is_known_for(name: str, classes: int, millions: float) -> None:
    model = Stan(variant(name, classes))
    assert model.head.out_features == classes
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)


def test_a_clip_becomes_one_logit_per_class(tiny_model: Stan) -> None:
    clips = torch.rand(2, 3, 20, 64, 64)
    assert tiny_model(clips).shape == (2, 5)
    assert tiny_model.features(clips).shape == (2, 32, 10, 2, 2)


def test_the_head_is_linear_in_the_mean_feature(tiny_model: Stan) -> None:
    clip = torch.rand(1, 3, 20, 64, 64)
    by_place = torch.einsum("kc,ncthw->nkthw", tiny_model.head.weight, tiny_model.features(clip))
    assert torch.allclose(by_place.mean((2, 3, 4)) + tiny_model.head.bias, tiny_model(clip), atol=1e-5)


def test_a_clip_gets_the_same_logits_whatever_is_in_its_batch(tiny_model: Stan) -> None:
    clips = torch.rand(2, 3, 20, 64, 64)
    assert torch.allclose(tiny_model(clips)[:1], tiny_model(clips[:1]), atol=1e-5)


def test_the_order_of_frames_matters(tiny_model: Stan) -> None:
    clip = torch.rand(1, 3, 20, 64, 64).cumsum(2) / 10
    assert not torch.allclose(tiny_model(clip), tiny_model(clip.flip(2)), atol=1e-3)


def test_stochastic_depth_keeps_the_mean_and_is_off_in_use() -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), torch.ones(20_000, 1)
    assert drop(x).mean().item() == pytest.approx(1.0, abs=0.02)
    assert drop(x).unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(drop.eval()(x), x)


def test_an_unknown_variant_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="No model is called 'stan-xl'; choose one of stan-s, stan-xs, stan-t"):
        variant("stan-xl", 5)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="head_dim 48 must divide"):
        StanConfig(classes=5, head_dim=48)


def test_a_shape_survives_being_written_as_plain_values() -> None:
    config = variant("stan-t", 5)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in config.to_dict().items()}
    assert StanConfig.from_dict(plain) == config
