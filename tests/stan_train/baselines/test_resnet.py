from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from stan_edge.errors import CheckpointError
from stan_train.baselines.resnet import Bottleneck, ResNet50, load_resnet50


@pytest.fixture(scope="module")
def random_model() -> ResNet50:
    return load_resnet50(None)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return load_resnet50(None, seed=1).state_dict()


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """A dark, a bright and a striped picture, uint8 `[3, 64, 64, 3]`."""
    rng = np.random.default_rng(0)
    stripes = np.broadcast_to(np.where(np.arange(64) % 16 < 8, 30, 220)[:, None, None], (64, 64, 3))
    return np.stack([rng.integers(0, 60, (64, 64, 3)), rng.integers(150, 255, (64, 64, 3)), stripes]).astype(np.uint8)


def _public_shapes() -> dict[str, tuple[int, ...]]:
    """The names and shapes of torchvision's resnet50, written down by rule."""

    def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
        each = {f"{name}.{what}": (width,) for what in ("weight", "bias", "running_mean", "running_var")}
        return each | {f"{name}.num_batches_tracked": ()}

    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    inputs = 64
    for layer, width, blocks in ((1, 64, 3), (2, 128, 4), (3, 256, 6), (4, 512, 3)):
        for block in range(blocks):
            at = f"layer{layer}.{block}"
            shapes |= {f"{at}.conv1.weight": (width, inputs, 1, 1)} | norm(f"{at}.bn1", width)
            shapes |= {f"{at}.conv2.weight": (width, width, 3, 3)} | norm(f"{at}.bn2", width)
            shapes |= {f"{at}.conv3.weight": (4 * width, width, 1, 1)} | norm(f"{at}.bn3", 4 * width)
            if block == 0:
                shapes |= {f"{at}.downsample.0.weight": (4 * width, inputs, 1, 1)}
                shapes |= norm(f"{at}.downsample.1", 4 * width)
            inputs = 4 * width
    return shapes | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}


def test_names_and_shapes_are_the_public_ones(random_model: ResNet50) -> None:
    own = {key: tuple(value.shape) for key, value in random_model.state_dict().items()}
    assert len(own) == 320
    assert own == _public_shapes()
    assert sum(p.numel() for p in random_model.parameters()) == 25_557_032


def test_a_bottleneck_is_three_convolutions_and_a_shortcut() -> None:
    torch.manual_seed(0)
    block = Bottleneck(8, 4, stride=2).double().eval()
    for name, value in block.named_buffers():
        if "num_batches" not in name:
            value.uniform_(0.5, 1.5)
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    w = block.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            w[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    y = torch.einsum("oi,nihw->nohw", w["conv1.weight"][:, :, 0, 0], x)
    y = norm(y, "bn1").clamp(min=0)
    patches = F.pad(y, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)  # the stride sits here
    y = torch.einsum("oikl,nihwkl->nohw", w["conv2.weight"], patches)
    y = norm(y, "bn2").clamp(min=0)
    y = norm(torch.einsum("oi,nihw->nohw", w["conv3.weight"][:, :, 0, 0], y), "bn3")
    shortcut = torch.einsum("oi,nihw->nohw", w["downsample.0.weight"][:, :, 0, 0], x[:, :, ::2, ::2])
    torch.testing.assert_close(block(x), (y + norm(shortcut, "downsample.1")).clamp(min=0))


def test_strides_are_those_of_the_public_network(random_model: ResNet50) -> None:
    """The maps of a 64-pixel picture shrink to 2 pixels, in the 3x3 of each stage's first block."""
    strided = [name for name, m in random_model.named_modules() if getattr(m, "stride", 1) in (2, (2, 2))]
    expected = ["conv1", "maxpool"]
    for layer in (2, 3, 4):
        expected += [f"layer{layer}.0.conv2", f"layer{layer}.0.downsample.0"]
    assert strided == expected
    with torch.inference_mode():
        assert random_model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_random_weights_tell_pictures_apart(random_model: ResNet50, pictures: np.ndarray) -> None:
    found = random_model.features(pictures)
    assert found.shape == (3, 2048)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found.std(0) > 0.02 * found.mean()).mean() > 0.5
    assert not random_model.training


def test_random_weights_are_a_function_of_the_seed_alone(random_model: ResNet50, weights: dict[str, Tensor]) -> None:
    state = torch.random.get_rng_state()
    again = load_resnet50(None, seed=1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(again[key], weights[key]) for key in weights)
    assert not torch.equal(random_model.conv1.weight, weights["conv1.weight"])


def test_features_do_not_depend_on_the_batch_and_are_normalised(random_model: ResNet50, pictures: np.ndarray) -> None:
    one_by_one = random_model.features(pictures, batch=1)
    np.testing.assert_allclose(one_by_one, random_model.features(pictures), rtol=1e-3, atol=1e-3)
    picture = pictures[0].astype(np.float64) / 255
    normalised = (picture - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.inference_mode():
        expected = random_model.pooled(torch.from_numpy(normalised).float().permute(2, 0, 1)[None])
    np.testing.assert_allclose(one_by_one[:1], expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", ["bare", "state_dict", "module", "safetensors", "no head", "other head", "old"])
def test_weights_load_in_every_form(form: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    saved = dict(weights)
    if form == "no head":
        saved = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    elif form == "other head":
        saved |= {"fc.weight": torch.zeros(400, 2048), "fc.bias": torch.zeros(400)}
    elif form == "old":
        saved = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    elif form == "module":
        saved = {f"module.{key}": value for key, value in weights.items()}
    if form == "safetensors":
        save_file(saved, path)
    else:
        torch.save({"state_dict": saved, "epoch": 3} if form in ("state_dict", "module") else saved, path)
    loaded = load_resnet50(path).state_dict()
    for key, value in weights.items():
        assert torch.equal(loaded[key], value) or (key.startswith("fc.") and form in ("no head", "other head"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer3.5.bn2.weight": None}, "missing: layer3.5.bn2.weight"),
        ({"layer9.weight": torch.zeros(1)}, "unexpected: layer9.weight"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, "wrong shape: conv1.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: dict[str, Tensor | None], message: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    saved = {key: value for key, value in (weights | change).items() if value is not None}
    torch.save(saved, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=message):
        load_resnet50(tmp_path / "w.pth")


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights file"):
        load_resnet50(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        load_resnet50(tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        load_resnet50(tmp_path / "list.pth")
