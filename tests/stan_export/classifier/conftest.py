"""Small networks that are not ours, with weights large enough to matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stan_edge.model.bundle import Bundle, open_bundle
from stan_export.classifier import classifier
from stan_export.explainable import Explainable
from stan_export.export import write_bundle
from stan_export.hugging_face import read_hugging_face
from tests.stan_export.conftest import window

CLASSES = ("nothing", "falling", "headache")
FRAMES, SIZE = 8, 32


class Convolutional(nn.Module):
    """What meets the hazards: strides that leave pixels over, pooling, BatchNorm, a depthwise and a transposed
    convolution, and a square weight used forwards and backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, (3, 5, 5), stride=(1, 2, 2), padding=(1, 1, 1))  # 32 pixels: 15, one is left over
        self.norm = nn.BatchNorm3d(8)
        self.depthwise = nn.Conv3d(8, 8, 3, padding=1, groups=8)
        self.widen = nn.ConvTranspose3d(8, 8, (1, 2, 2), stride=(1, 2, 2))
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.last = nn.Conv3d(8, 16, 3, stride=(2, 1, 1), padding=1)
        self.square = nn.Linear(16, 16)
        self.head = nn.Linear(16, len(CLASSES))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(pixels)).relu()
        x = nn.functional.silu(self.depthwise(x))
        x = self.pool(self.widen(x))
        x = self.last(x)
        return self.head(torch.tanh(self.square(x.mean((2, 3, 4)))))


def draw_weights(network: nn.Module) -> nn.Module:
    """Weights, and statistics of norms, of the size that training leaves."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.2 if parameter.ndim == 1 else 1.5 * parameter[0].numel() ** -0.5
            parameter.normal_(0, spread, generator=draw)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm3d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5, generator=draw)
            if isinstance(module, nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.3, generator=draw)
                module.running_var.uniform_(0.5, 1.5, generator=draw)
    return network.eval()


@dataclass(frozen=True)
class Foreign:
    network: nn.Module
    explainable: Explainable
    bundle: Bundle


@pytest.fixture(scope="session")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    network = draw_weights(Convolutional())
    explainable = classifier(
        network,
        "convolutional",
        CLASSES,
        window(SIZE, FRAMES),
        background="nothing",
        gradcam_layer="last",
        noisy=("smoothgrad", "streaming"),
    )
    out = tmp_path_factory.mktemp("convolutional") / "bundle"
    write_bundle(explainable, out)
    return Foreign(network, explainable, open_bundle(out))


@pytest.fixture(scope="session")
def clips() -> np.ndarray:
    """Fresh ones, half noise and half blocks: uint8 `[6, T, S, S, 3]`."""
    rng = np.random.default_rng(99)
    noise = rng.integers(0, 256, (3, FRAMES, SIZE, SIZE, 3), np.uint8)
    blocks = rng.integers(0, 256, (3, FRAMES, 4, 4, 3), np.uint8).repeat(8, 2).repeat(8, 3)
    return np.concatenate([noise, blocks])


@pytest.fixture(scope="session")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of a test-sized model with random weights, as `save_pretrained` writes it."""
    root = tmp_path_factory.mktemp("hugging-face")

    def make(kind: str) -> Path:
        if not (root / kind).exists():
            _save(kind, root / kind)
        return root / kind

    return make


@pytest.fixture(scope="session")
def bundles(hugging_face: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The bundle of such a folder, written once."""

    @cache
    def make(kind: str) -> Bundle:
        network = read_hugging_face(hugging_face(kind), window_s=1.0, background="nothing", alarms=["falling"])
        out = tmp_path_factory.mktemp("bundles") / kind
        write_bundle(network, out)
        return open_bundle(out)

    return make


def _save(kind: str, folder: Path) -> None:
    import transformers as t

    t.utils.logging.disable_progress_bar()  # it would be taken for what the command says
    labels = dict(enumerate(CLASSES))
    shape = {"image_size": SIZE, "num_frames": FRAMES, "hidden_size": 32, "intermediate_size": 64, "id2label": labels}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "label2id": {name: k for k, name in labels.items()}}
    models = {
        "timesformer": lambda: t.TimesformerForVideoClassification(t.TimesformerConfig(patch_size=8, **shape)),
        "vivit": lambda: t.VivitForVideoClassification(t.VivitConfig(tubelet_size=[2, 8, 8], **shape)),
        "videomae": lambda: t.VideoMAEForVideoClassification(t.VideoMAEConfig(patch_size=8, tubelet_size=2, **shape)),
    }
    size = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    processors = {
        "timesformer": lambda: t.VideoMAEImageProcessor(image_mean=[0.45] * 3, image_std=[0.225] * 3, **size),
        "vivit": lambda: t.VivitImageProcessor(**size),  # 2 v - 1, and that standardised by 0.5 and 0.5
        "videomae": lambda: t.VideoMAEImageProcessor(**size),  # means and deviations of ImageNet, one for each channel
    }
    draw_weights(models[kind]()).save_pretrained(folder)
    processors[kind]().save_pretrained(folder)
