"""The optimiser: which parameters decay, and how the learning rate runs."""

from __future__ import annotations

import math

import torch
from torch import nn

from stan_train.options import FitConfig


def learning_rate_factor(progress: float, config: FitConfig) -> float:
    """Learning rate factor at a share of all epochs: linear warm-up, then half a cosine."""
    if progress < config.warmup:
        return progress / config.warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def optimizer_for(model: nn.Module, config: FitConfig) -> torch.optim.AdamW:
    """AdamW without decay on norms and biases."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}], lr=config.lr
    )
