"""The paper's baselines: frame features of a 2-D network, and a small network over time.

A clip's features stacked frame by frame, `[T, D]`, are its "patched image" P. With both views their features are
concatenated along D (2048 becomes 4096). A model standardises features itself, each of the D by its mean and spread in
training; P below is the standardised one, the picture that the network sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from stan_edge.errors import ConfigError

Kind = Literal["fcl", "cnn", "lstm"]
Method = Literal["vanilla", "smoothgrad", "gradcam"]

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
_Scalar = TypeVar("_Scalar", bound=np.generic)

SMOOTH_SIGMA = 0.15
"""Noise of SmoothGrad, as a share of P's value range (the range from the 1st to the 99th percentile in training: single
outliers reach 20 spreads, and noise of 0.15 of that would drown every frame)."""

_HIDDEN = 128
_CHUNK = 32  # clips at a time without training: keeps the convolution's maps below 200 MB


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
        networks: dict[str, type[_Fcl] | type[_Cnn] | type[_Lstm]] = {"fcl": _Fcl, "cnn": _Cnn, "lstm": _Lstm}
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


class _Fcl(nn.Module):
    def __init__(self, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(frames * features, classes)

    def forward(self, picture: Tensor) -> Tensor:
        return self.fc(picture.flatten(1))


class _Cnn(nn.Module):
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


class _Lstm(nn.Module):
    def __init__(self, frames: int, features: int, classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, _HIDDEN, num_layers=3, batch_first=True)
        self.fc1 = nn.Linear(_HIDDEN, _HIDDEN)
        self.fc2 = nn.Linear(_HIDDEN, classes)

    def forward(self, picture: Tensor) -> Tensor:
        states, _ = self.lstm(picture)  # [N, T, 128]
        return self.fc2(F.relu(self.fc1(states[:, -1])))


@dataclass(frozen=True)
class BaselineFit:
    """How to train a baseline."""

    epochs: int = 60
    patience: int = 8
    """Epochs without a better validation loss after which training stops."""
    batch: int = 32
    lr: float = 3e-4
    weight_decay: float = 0.05
    seed: int = 0


def fit_baseline(
    kind: Kind,
    features: Floats,
    labels: Integers,
    held_out: NDArray[np.bool_],
    classes: int,
    config: BaselineFit | None = None,
) -> Baseline:
    """Train on features `[N, T, D]` with labels `[N]`; `held_out` `[N]` marks the validation part that decides when to
    stop (see `folds.split_validation`: clips of one performance belong on one side).

    Every class counts the same in the loss, however many clips it has. The same seed gives the same weights on CPU.
    The model comes back on the CPU, with the weights of its best validation loss.

    Raises:
        ConfigError: no such kind, nothing to train or to validate on, labels out of range, or features not finite.
    """
    config = config or BaselineFit()
    _check_data(features, labels, held_out, classes)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        model = Baseline(kind, features.shape[1], features.shape[2], classes)
    train, val = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    model.learn_scale(features[train])
    model.to(device)
    targets = torch.from_numpy(labels.astype(np.int64)).to(device)
    counts = torch.bincount(targets[torch.from_numpy(train).to(device)], minlength=classes)
    weights = len(train) / (classes * counts.clamp(min=1))
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay)
    rng = np.random.default_rng(config.seed)
    best, best_loss, waited = model.state_dict(), float("inf"), 0
    for _ in range(config.epochs):
        for picked in _parts(rng.permutation(train), config.batch):
            loss = F.cross_entropy(model(model.standardise(features[picked])), targets[picked], weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        val_loss = F.cross_entropy(_logits(model, features[val]), targets[val], weights).item()
        waited += 1
        if val_loss < best_loss:
            best, best_loss, waited = {k: v.clone() for k, v in model.state_dict().items()}, val_loss, 0
        if waited >= config.patience:
            break
    model.load_state_dict(best)
    return model.cpu()


def predict(model: Baseline, features: Floats) -> NDArray[np.float32]:
    """Class probabilities `[N, classes]` of features `[N, T, D]`."""
    return _logits(model, features).softmax(1).float().cpu().numpy()


def frame_scores(
    model: Baseline, features: Floats, class_index: int, method: Method, copies: int = 50
) -> NDArray[np.float64]:
    """Importance of each frame of clips, features `[N, T, D]` -> raw scores `[N, T]`, none below 0.

    - `vanilla`: mean over D of |d logit / d P[t, :]|.
    - `smoothgrad`: the same of the gradient averaged over `copies` noisy P, sigma 0.15 of P's value range. The noise is
      the same for every clip and in every call, so that a result can be repeated.
    - `gradcam` (CNN only): on the rectified output of the convolution, `[32, T, D/4]`: ReLU of the sum of its maps,
      each weighted by its mean gradient; then the mean over D (Selvaraju et al., arXiv 1610.02391).

    Raises:
        ConfigError: the method does not exist for this kind, or the shape or the class does not fit the model.
    """
    if features.ndim != 3 or features.shape[1] != model.frames:
        raise ConfigError(
            f"This model scores clips of {model.frames} frames, not features of shape {features.shape}; "
            "cut longer sequences into windows."
        )
    if method not in get_args(Method):
        raise ConfigError(f"No method is called {method!r}; choose one of {', '.join(get_args(Method))}.")
    if not 0 <= class_index < model.classes:
        raise ConfigError(f"Class {class_index} does not exist; this model has classes 0 to {model.classes - 1}.")
    parts = [_scores(model, model.standardise(p), class_index, method, copies) for p in _parts(features, _CHUNK)]
    return np.concatenate(parts)


def _scores(model: Baseline, pictures: Tensor, class_index: int, method: Method, copies: int) -> NDArray[np.float64]:
    """P `[N, T, D]` -> `[N, T]`."""
    if method == "gradcam":
        if not isinstance(model.network, _Cnn):
            raise ConfigError(f"gradcam needs a convolution, {model.kind} has none; choose vanilla or smoothgrad.")
        maps = model.network.maps(pictures).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model.network.head(maps)[:, class_index].sum(), maps)
        weighted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1)  # [N, T, D/4]
        return F.relu(weighted).mean(2).detach().cpu().double().numpy()
    if method == "vanilla":
        gradient = _gradient(model, pictures, class_index)
    else:
        if copies < 1:
            raise ConfigError(f"smoothgrad needs at least 1 noisy copy, not {copies}.")
        generator = torch.Generator().manual_seed(0)
        gradient = torch.zeros_like(pictures)
        for _ in range(copies):
            noise = torch.randn(pictures.shape[1:], generator=generator).to(pictures) * SMOOTH_SIGMA * model.span
            gradient += _gradient(model, pictures + noise, class_index) / copies
    return gradient.abs().mean(2).cpu().double().numpy()


def _gradient(model: Baseline, pictures: Tensor, class_index: int) -> Tensor:
    """d logit / d P of each clip, `[N, T, D]`."""
    pictures = pictures.detach().requires_grad_()
    # cuDNN differentiates an LSTM in train mode only
    with torch.backends.cudnn.flags(enabled=model.kind != "lstm"):
        (gradient,) = torch.autograd.grad(model(pictures)[:, class_index].sum(), pictures)
    return gradient


@torch.no_grad()
def _logits(model: Baseline, features: Floats) -> Tensor:
    return torch.cat([model(model.standardise(part)) for part in _parts(features, _CHUNK)])


def _parts(values: NDArray[_Scalar], size: int) -> Iterator[NDArray[_Scalar]]:
    for first in range(0, len(values), size):
        yield values[first : first + size]


def _check_data(features: Floats, labels: Integers, held_out: NDArray[np.bool_], classes: int) -> None:
    if features.ndim != 3 or not len(features) == len(labels) == len(held_out):
        raise ConfigError(
            f"Features {features.shape}, labels {labels.shape} and validation marks {held_out.shape} do not belong "
            "together; give [clips, frames, D] and one label and mark a clip."
        )
    if held_out.all() or not held_out.any():
        raise ConfigError("Training and validation both need clips; hold out some, but not all.")
    if not ((labels >= 0) & (labels < classes)).all():
        raise ConfigError(f"A label lies outside 0 to {classes - 1}; number the {classes} classes from 0.")
    if not np.isfinite(features).all():
        raise ConfigError("The features are not all finite; compute them again, in float32.")
