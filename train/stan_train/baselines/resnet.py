"""ResNet-50: the frame features of the baselines (He et al., arXiv 1512.03385; v1.5: the stride sits in the 3x3).

Parameter names are torchvision's, so that public weights load key by key; torchvision itself is not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stan_train.checkpoint import drop_misfit, read_state_dict, require_fit

FEATURES = 2048
"""Length of a frame's feature vector."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in 0..1."""

_EXPANSION = 4
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first block


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 to four times the width; the shortcut is projected where shapes change."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Module):
    """The network, its ImageNet head included so that whole public files fit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = 64
        for number, (width, blocks, stride) in enumerate(_STAGES, start=1):
            stage = [Bottleneck(inputs, width, stride)]
            inputs = width * _EXPANSION
            stage += [Bottleneck(inputs, width, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        self.fc = nn.Linear(FEATURES, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised RGB `[N, 3, H, W]` -> class logits `[N, 1000]`."""
        return self.fc(self.pooled(x))

    def pooled(self, x: Tensor) -> Tensor:
        """Normalised RGB `[N, 3, H, W]` -> features before the head, `[N, 2048]`."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))  # [N, 64, H/4, W/4]
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # in the end [N, 2048, H/32, W/32]
        return x.mean((2, 3))

    @torch.inference_mode()
    def features(self, frames: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float32]:
        """RGB frames uint8 `[N, S, S, 3]` -> pooled features `[N, 2048]`, `batch` frames at a time."""
        like = self.conv1.weight
        mean, std = like.new_tensor(MEAN), like.new_tensor(STD)
        out = np.empty((len(frames), FEATURES), np.float32)
        for first in range(0, len(frames), batch):
            part = torch.from_numpy(frames[first : first + batch]).to(like)
            out[first : first + batch] = self.pooled(((part / 255 - mean) / std).permute(0, 3, 1, 2)).cpu()
        return out


def load_resnet50(path: Path | None, seed: int = 0) -> ResNet50:
    """The network in eval mode, with the weights of a file or, without one, random ones (a baseline row of its own).

    Random weights are torchvision's start: Kaiming normal (fan out, ReLU), norms at 1 and 0 and no zeroed residual.
    A file is a `.pth` (nothing is unpickled but tensors) or `.safetensors`: a state dict, bare or as
    `{"state_dict": ...}`, with or without the `module.` that data-parallel training puts before names. Its head
    (`fc.*`) may be missing or made for other classes: the features do not need it.

    Raises:
        CheckpointError: unreadable; or a weight is missing, unexpected or of another shape (it is named).
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = ResNet50()
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if path is not None:
        tensors = read_state_dict(path, "a ResNet-50 .pth or .safetensors")
        own = model.state_dict()
        head = [key for key in own if key.startswith("fc.")]
        drop_misfit(model, tensors, head)
        # files from before 2018 lack the norms' step counters, which no result uses
        counters = [key for key in own if key.endswith(".num_batches_tracked")]
        require_fit(path, model, tensors, may_miss=(*head, *counters))
        model.load_state_dict(tensors, strict=False)
    return model.eval()
