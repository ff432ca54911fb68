"""What a network says of clips and why, in torch: traced into graphs in float32, their reference in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stan_edge.errors import ConfigError

Explained = tuple[Tensor, Tensor, Tensor]
"""Logits `[B, classes]`, frame scores `[B, T]`, and the map `[B, T, h, w]`."""
Explain = Callable[[nn.Module, Tensor, Tensor], Explained]
"""Of a network, normalised pixels `[B, 3, T, S, S]` and class indices `[B]`, -1 being the predicted class."""

MAP_CELL = 16
"""Side of a cell of a gradient's map in pixels; rows and columns that are left over are in no cell."""


def vanilla(network: nn.Module, pixels: Tensor, class_index: Tensor) -> Explained:
    """|d logit / d pixel|, averaged over channels and the pixels of a frame or a cell (arXiv 1312.6034)."""
    pixels = pixels.detach().requires_grad_()
    logits = network(pixels)
    (gradient,) = torch.autograd.grad(logits, pixels, one_hot(logits, class_index))
    return (logits.detach(), *_scores_and_map(gradient))


def smoothgrad(network: nn.Module, pixels: Tensor, class_index: Tensor, noise: Tensor) -> Explained:
    """The same of the mean gradient over noisy copies, for the class of the clean clip (arXiv 1706.03825).

    Args:
        noise: added to the normalised pixels, `[n, 3, T, S, S]`.
    """
    logits = network(pixels).detach()
    seed = one_hot(logits, class_index).repeat_interleave(len(noise), 0)
    copies = (pixels.detach()[:, None] + noise).flatten(0, 1).requires_grad_()  # [B * n, 3, T, S, S]
    (gradients,) = torch.autograd.grad(network(copies), copies, seed)
    return (logits, *_scores_and_map(gradients.view(len(pixels), len(noise), *gradients.shape[1:]).mean(1)))


def gradcam(layer: str) -> Explain:
    """Grad-CAM (arXiv 1610.02391) on the output `[B, C, t, h, w]` of the module of that name."""
    return partial(_gradcam, layer)


def _gradcam(layer: str, network: nn.Module, pixels: Tensor, class_index: Tensor) -> Explained:
    logits, (features,) = kept_outputs(network, [layer], pixels.detach().requires_grad_())
    (gradient,) = torch.autograd.grad(logits, features, one_hot(logits, class_index))
    weights = gradient.mean((2, 3, 4), keepdim=True)  # [B, C, 1, 1, 1]
    cells = to_frames((weights * features).sum(1).relu(), pixels.shape[2])
    return logits.detach(), cells.mean((2, 3)).detach(), cells.detach()


def kept_outputs(network: nn.Module, layers: list[str], pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and what the modules of these names gave on the way there (the last thing, where that is a tuple)."""
    kept: dict[int, Tensor] = {}

    def keep(number: int, _module: nn.Module, _args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        kept[number] = output[-1] if isinstance(output, tuple) else output

    modules = [network.get_submodule(layer) for layer in layers]
    hooks = [module.register_forward_hook(partial(keep, number)) for number, module in enumerate(modules)]
    try:
        logits = network(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [kept[number] for number in range(len(modules))]


def one_hot(logits: Tensor, class_index: Tensor) -> Tensor:
    """`[B, classes]`: 1 at the class that is explained."""
    index = torch.where(class_index < 0, logits.detach().argmax(1), class_index)
    return (index[:, None] == torch.arange(logits.shape[1])).to(logits.dtype)


def to_frames(cells: Tensor, frames: int) -> Tensor:
    """`[B, t, h, w]` to `[B, frames, h, w]`: the frames that a network joins have its value in common.

    Raises:
        ConfigError: there is no whole number of frames to a value.
    """
    if frames % cells.shape[1]:
        raise ConfigError(
            f"The layer has {cells.shape[1]} steps in time for {frames} frames; choose one that divides them evenly."
        )
    return cells.repeat_interleave(frames // cells.shape[1], 1)


def _scores_and_map(gradient: Tensor) -> tuple[Tensor, Tensor]:
    magnitude = gradient.abs().mean(1)  # [B, T, S, S]
    return magnitude.mean((2, 3)), F.avg_pool2d(magnitude, MAP_CELL)
