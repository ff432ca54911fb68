from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stan_edge.errors import CheckpointError
from stan_train.checkpoint import load_checkpoint, load_pretrained, save_checkpoint
from stan_train.model import Stan, StanConfig

CONFIG = StanConfig(classes=5, dims=(8, 16, 32, 32), depths=(1, 1, 1, 1), head_dim=16)


@pytest.fixture
def weights(tiny_model: Stan) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in tiny_model.state_dict().items()}


def loaded(path: Path, classes: int = 5) -> Stan:
    torch.manual_seed(1)
    model = Stan(StanConfig(classes, CONFIG.dims, CONFIG.depths, CONFIG.head_dim))
    load_pretrained(model, path)
    return model


def assert_same(model: Stan, weights: dict[str, Tensor]) -> None:
    own = model.state_dict()
    for key, value in weights.items():
        assert torch.equal(own[key], value), key


def test_a_checkpoint_survives_writing_and_reading_bit_for_bit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint)
    save_checkpoint(tmp_path / "again.safetensors", checkpoint)
    again = load_checkpoint(tmp_path / "again.safetensors")
    assert_same(again.model, checkpoint.model.state_dict())
    assert not again.model.training
    for field in ("name", "classes", "background", "alarms", "input", "provenance"):
        assert getattr(again, field) == getattr(checkpoint, field)
    assert again.model.config == checkpoint.model.config == StanConfig(**CONFIG.to_dict())
    assert [file.name for file in tmp_path.iterdir()] == ["again.safetensors"]


@pytest.mark.parametrize("wrapped", [{"model": ...}, {"model_state": ...}, ...], ids=["model", "model_state", "bare"])
def test_public_weights_load_however_they_are_wrapped(weights: dict[str, Tensor], tmp_path: Path, wrapped: Any) -> None:
    content = weights if wrapped is ... else {next(iter(wrapped)): weights, "epoch": 110}
    torch.save(content, tmp_path / "public.pth")
    assert_same(loaded(tmp_path / "public.pth"), weights)


def test_our_own_checkpoint_is_a_starting_point_too(tiny_checkpoint: Path, weights: dict[str, Tensor]) -> None:
    assert_same(loaded(tiny_checkpoint), weights)


def test_weights_for_other_classes_leave_the_head_alone_and_fill_the_rest(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "public.pth")
    model = loaded(tmp_path / "public.pth", classes=3)
    torch.manual_seed(1)
    fresh = Stan(StanConfig(3, CONFIG.dims, CONFIG.depths, CONFIG.head_dim))
    assert torch.equal(model.head.weight, fresh.head.weight)
    assert_same(model, {key: value for key, value in weights.items() if not key.startswith("head.")})


def test_weights_without_a_head_are_accepted(weights: dict[str, Tensor], tmp_path: Path) -> None:
    body = {key: value for key, value in weights.items() if not key.startswith("head.")}
    torch.save(body, tmp_path / "public.pth")
    assert_same(loaded(tmp_path / "public.pth"), body)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("blocks3.0.attn.qkv.weight"), "missing: blocks3.0.attn.qkv.weight"),
        (lambda w: w.update({"cls_token": torch.zeros(1)}), "unexpected: cls_token"),
        (
            lambda w: w.update({"norm.weight": torch.zeros(31)}),
            r"wrong shape: norm.weight \(31,\) instead of \(32,\)",
        ),
    ],
    ids=["missing", "unexpected", "misshaped"],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    weights: dict[str, Tensor], tmp_path: Path, change: Any, says: str
) -> None:
    change(weights)
    torch.save(weights, tmp_path / "public.pth")
    with pytest.raises(CheckpointError, match=says):
        loaded(tmp_path / "public.pth")


def test_many_missing_tensors_are_counted(tmp_path: Path) -> None:
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "public.pth")
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        loaded(tmp_path / "public.pth")


def test_image_weights_answer_a_still_clip_as_they_answered_the_image(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    kernel = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    save_file(weights | {"patch_embed1.proj.weight": kernel}, tmp_path / "image.safetensors")
    stem = loaded(tmp_path / "image.safetensors").patch_embed1.proj
    image = torch.rand(1, 3, 32, 32)
    clip = stem(image[:, :, None].repeat(1, 1, 20, 1, 1))  # [1, 8, 10, 8, 8]
    expected = torch.nn.functional.conv2d(image, kernel, stem.bias, stride=4)
    for token in range(1, 10):
        assert torch.allclose(clip[:, :, token], expected, atol=1e-5)


class _Bomb:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_code_inside_a_pickle_is_refused_and_never_runs(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": weights, "hook": _Bomb(tmp_path / "ran")}, tmp_path / "public.pth")
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        loaded(tmp_path / "public.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["public.pth", "public.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 cut off"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        loaded(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name} is not a safetensors file"):
        load_checkpoint(tmp_path / name)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights file"):
        loaded(tmp_path / "nowhere.pth")
    with pytest.raises(CheckpointError, match="`stan-edge train` writes one"):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_a_list_of_tensors_is_not_a_state_dict(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "public.pth")
    with pytest.raises(CheckpointError, match="is not a state dict"):
        loaded(tmp_path / "public.pth")


def test_someone_elses_safetensors_is_no_checkpoint_but_can_be_started_from(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=r"stan-edge train --init .*theirs\.safetensors"):
        load_checkpoint(path)
    assert_same(loaded(path), weights)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        (json.dumps({"format": "stan-edge-checkpoint-9"}), "format 'stan-edge-checkpoint-9'"),
        (json.dumps({"format": "stan-edge-checkpoint-1"}), "damaged"),
    ],
)
def test_a_checkpoint_with_a_damaged_or_newer_header_is_refused(
    weights: dict[str, Tensor], tmp_path: Path, header: str, says: str
) -> None:
    save_file(weights, tmp_path / "x.safetensors", metadata={"stan_edge": header})
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_checkpoint_whose_tensors_do_not_fit_its_shape_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(tiny_checkpoint, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(tiny_checkpoint)
    del tensors["head.bias"]
    save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"missing: head\.bias"):
        load_checkpoint(tmp_path / "x.safetensors")
