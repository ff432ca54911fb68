"""Training a baseline on frame features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_train.baselines.network import Baseline, Floats, Integers, Kind, chunks, logits


@dataclass(frozen=True, kw_only=True)
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
        for picked in chunks(rng.permutation(train), config.batch):
            loss = F.cross_entropy(model(model.standardise(features[picked])), targets[picked], weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        val_loss = F.cross_entropy(logits(model, features[val]), targets[val], weights).item()
        waited += 1
        if val_loss < best_loss:
            best, best_loss, waited = {k: v.clone() for k, v in model.state_dict().items()}, val_loss, 0
        if waited >= config.patience:
            break
    model.load_state_dict(best)
    return model.cpu()


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
