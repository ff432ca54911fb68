"""What a network makes of windows, and how well it knows held-out ones."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from stan_edge.model.contract import InputSpec
from stan_train.batches import TrainingSet, validation_windows
from stan_train.model import Stan


def view_logits(model: Any, pictures: Tensor, spec: InputSpec, *, train: bool) -> Tensor:
    """Logits of windows uint8 `[B, P, T, S, S, 3]`: `[B, C]`, the mean over the passes of the view; in training,
    `union` makes each pass a sample of its own, `[B * P, C]`."""
    passes = pictures.shape[1]
    logits = model(normalize(pictures.flatten(0, 1), spec))
    if passes == 1 or (train and spec.view == "union"):
        return logits
    return logits.unflatten(0, (-1, passes)).mean(1)


def normalize(clips: Tensor, spec: InputSpec) -> Tensor:
    """uint8 `[B, T, H, W, 3]` -> float32 `[B, 3, T, H, W]`, `(x / 255 - mean) / std`."""
    return ((clips.float() / 255 - spec.mean) / spec.std).permute(0, 4, 1, 2, 3)


@torch.no_grad()
def evaluate_windows(
    fabric: Fabric,
    model: Stan,
    data: TrainingSet,
    spec: InputSpec,
    frames: int,
    batch: int,
    *,
    whole_clips: bool,
) -> tuple[float, NDArray[np.int64]]:
    """Mean cross-entropy and confusion matrix `[C, C]` (rows: truth) over all windows, without augmentation; the
    processes share the work."""
    model.eval()
    classes = len(data.classes)
    sums = torch.zeros(classes * classes + 1, dtype=torch.float64)
    mine = range(fabric.global_rank, len(data.windows), fabric.world_size)
    for start in range(0, len(mine), batch):
        part = list(mine[start : start + batch])
        pictures = np.stack([validation_windows(data, spec, w, frames, whole_clips=whole_clips) for w in part])
        logits = view_logits(model, torch.from_numpy(pictures).to(fabric.device), spec, train=False).cpu().float()
        labels = torch.from_numpy(data.windows.label[part])
        sums[-1] += F.cross_entropy(logits, labels, reduction="sum").item()
        sums[:-1] += torch.bincount(labels * classes + logits.argmax(1), minlength=classes * classes)
    sums = reduced(fabric, sums, "sum")
    confusion = sums[:-1].reshape(classes, classes).to(torch.int64).numpy()
    return float(sums[-1] / confusion.sum()), confusion


def mean_recall(confusion: NDArray[np.int64]) -> float:
    """Recall averaged over the classes present; `[C, C]`, rows are the truth."""
    counts = confusion.sum(1)
    present = counts > 0
    return float((np.diag(confusion)[present] / counts[present]).mean())


def reduced(fabric: Fabric, values: Tensor, how: str) -> Tensor:
    """Sum or mean over the processes, on the processor."""
    return cast(Tensor, fabric.all_reduce(values.to(fabric.device), reduce_op=how)).cpu()
