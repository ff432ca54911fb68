"""The paper's baselines: frame features of a 2-D network, and a small network over time.

A clip's features stacked frame by frame, `[T, D]`, are its "patched image" P. With both views their features are
concatenated along D (2048 becomes 4096). A model standardises features itself, each of the D by its mean and spread in
training; P below is the standardised one, the picture that the network sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stan_edge.errors import ConfigError

Kind = Literal["fcl", "cnn", "lstm"]

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
_Scalar = TypeVar("_Scalar", bound=np.generic)


_HIDDEN = 128
CHUNK = 32  # clips at a time without training: keeps the convolution's maps below 200 MB


class Baseline(nn.Module):
    """P `[N, T, D]` -> logits `[N, classes]`; `standardise` makes P. Nothing in it differs in train and eval mode."""

    mean: Tensor
    std: Tensor
    span: Tensor

    def __init__(self, kind: Kind, frames: int, features: int, classes: int) -> None:
        super().__init__()
        if kind not in get_args(Kind):
            raise ConfigError(f"No baseline is called {kind!r}; choose one of {', '.join(get_args(Kind))}.")
        self.kind, self.frames, self.classes = kind, frames, classes
        networks: dict[str, type[Fcl] | type[Cnn] | type[Lstm]] = {"fcl": Fcl, "cnn": Cnn, "lstm": Lstm}
        self.network = networks[kind](frames, features, classes)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("span", torch.ones(()))

    def forward(self, picture: Tensor) -> Tensor:
        return self.network(picture)

    def standardise(self, features: Floats) -> Tensor:
        """Features `[..., D]` -> P of the same shape, in the model's precision and on its device."""
        return (torch.from_numpy(features).to(self.mean) - self.mean) / self.std

    def learn_scale(self, features: Floats) -> None:
        """Take the scale of P from training features `[N, T, D]`."""
        mean, std = features.mean((0, 1), dtype=np.float64), features.std((0, 1), dtype=np.float64)
        # features that hardly ever move would become pure noise, as loud as the others
        std = np.maximum(std, max(0.01 * float(std.mean()), 1e-6))
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))
        some = features[:: max(len(features) // 200, 1)]
        low, high = np.percentile((some - mean) / std, (1, 99))
        self.span.fill_(float(high - low))


class Fcl(nn.Module):
    def __init__(self, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(frames * features, classes)

    def forward(self, picture: Tensor) -> Tensor:
        return self.fc(picture.flatten(1))


class Cnn(nn.Module):
    """The order of features along D means nothing, so little is lost by thinning there: the convolution steps by 4 (its
    7 still read each feature), pooling takes 8. That leaves a `[32, T, D/32]` map and 5 million weights (20 frames,
    D 2048) instead of 168 million unthinned."""

    def __init__(self, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 32, (3, 7), stride=(1, 4), padding=(1, 3))
        self.pool = nn.MaxPool2d((1, 8), ceil_mode=True)
        self.fc1 = nn.Linear(32 * frames * math.ceil(features / 32), _HIDDEN)
        self.fc2 = nn.Linear(_HIDDEN, classes)

    def maps(self, picture: Tensor) -> Tensor:
        return F.relu(self.conv(picture.unsqueeze(1)))  # [N, 32, T, D/4]

    def head(self, maps: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.pool(maps).flatten(1))))

    def forward(self, picture: Tensor) -> Tensor:
        return self.head(self.maps(picture))


class Lstm(nn.Module):
    def __init__(self, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, _HIDDEN, num_layers=3, batch_first=True)
        self.fc1 = nn.Linear(_HIDDEN, _HIDDEN)
        self.fc2 = nn.Linear(_HIDDEN, classes)

    def forward(self, picture: Tensor) -> Tensor:
        states, _ = self.lstm(picture)  # [N, T, 128]
        return self.fc2(F.relu(self.fc1(states[:, -1])))


def predict(model: Baseline, features: Floats) -> NDArray[np.float32]:
    """Class probabilities `[N, classes]` of features `[N, T, D]`."""
    return logits(model, features).softmax(1).float().cpu().numpy()


@torch.no_grad()
def logits(model: Baseline, features: Floats) -> Tensor:
    return torch.cat([model(model.standardise(part)) for part in chunks(features, CHUNK)])


def chunks(values: NDArray[_Scalar], size: int) -> Iterator[NDArray[_Scalar]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]
