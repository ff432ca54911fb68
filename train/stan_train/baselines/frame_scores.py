"""Which frames made a baseline decide: gradients of its logit, and Grad-CAM."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stan_edge.errors import ConfigError
from stan_train.baselines.network import CHUNK, Baseline, Cnn, Floats, chunks

Method = Literal["vanilla", "smoothgrad", "gradcam"]
SMOOTH_SIGMA = 0.15
"""Noise of SmoothGrad, as a share of P's value range (the range from the 1st to the 99th percentile in training: single
outliers reach 20 spreads, and noise of 0.15 of that would drown every frame)."""


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
    parts = [_chunk_scores(model, model.standardise(p), class_index, method, copies) for p in chunks(features, CHUNK)]
    return np.concatenate(parts)


def _chunk_scores(
    model: Baseline, pictures: Tensor, class_index: int, method: Method, copies: int
) -> NDArray[np.float64]:
    """P `[N, T, D]` -> `[N, T]`."""
    if method == "gradcam":
        if not isinstance(model.network, Cnn):
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
