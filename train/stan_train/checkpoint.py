"""Weights on disk: our own checkpoints, and the public UniFormer ones.

Ours are safetensors with their configuration as JSON in the header. Foreign `.pth` files are read with
`torch.load(weights_only=True)`: nothing is ever unpickled.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stan_edge.errors import CheckpointError
from stan_edge.files import replacing
from stan_edge.model.contract import InputSpec
from stan_train.model import Stan, StanConfig

FORMAT = "stan-edge-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all that its weights do not say."""

    model: Stan
    name: str
    classes: tuple[str, ...]
    background: str | None
    alarms: tuple[str, ...]
    input: InputSpec
    provenance: dict[str, str]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    meta = {
        "format": FORMAT,
        "name": checkpoint.name,
        "config": checkpoint.model.config.to_dict(),
        "classes": checkpoint.classes,
        "background": checkpoint.background,
        "alarms": checkpoint.alarms,
        "input": checkpoint.input.model_dump(),
        "provenance": checkpoint.provenance,
    }
    tensors = {key: value.detach().cpu().contiguous() for key, value in checkpoint.model.state_dict().items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"stan_edge": json.dumps(meta)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; the model is in eval mode.

    Raises:
        CheckpointError: no such file, not one of ours, or its tensors do not fit its configuration.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}; `stan-edge train` writes one.")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("stan_edge")
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({error}); give one that `stan-edge train` wrote."
        ) from error
    if header is None:
        raise CheckpointError(
            f"{path} carries no stan-edge configuration; train with `stan-edge train --init {path}` to use its weights."
        )
    try:
        meta = json.loads(header)
        if meta["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {meta['format']!r}, this stan-edge reads {FORMAT!r}; train again."
            )
        checkpoint = Checkpoint(
            model=Stan(StanConfig.from_dict(meta["config"])),
            name=meta["name"],
            classes=tuple(meta["classes"]),
            background=meta["background"],
            alarms=tuple(meta["alarms"]),
            input=InputSpec.model_validate(meta["input"]),
            provenance=meta["provenance"],
        )
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(f"{path}: the configuration inside is damaged ({error!r}); train again.") from error
    if len(checkpoint.classes) != checkpoint.model.config.classes:
        raise CheckpointError(
            f"{path} names {len(checkpoint.classes)} classes for "
            f"{checkpoint.model.config.classes} outputs; train again."
        )
    require_fit(path, checkpoint.model, tensors)
    checkpoint.model.load_state_dict(tensors)
    checkpoint.model.eval()
    return checkpoint


def load_pretrained(model: Stan, path: Path) -> None:
    """Fill a model with public UniFormer weights (or one of our checkpoints), leaving the head as it is
    when the number of classes differs or the file has none.

    Accepts `{"model": sd}`, `{"model_state": sd}` and a bare dict, video weights and image weights
    (inflated over time by repeat / kernel_T).

    Raises:
        CheckpointError: unreadable; or a key other than the head's is missing; or one is unexpected or of
            another shape (people silently train from noise otherwise).
    """
    tensors = read_state_dict(path, "a UniFormer .pth or .safetensors")
    own = model.state_dict()
    for key, value in list(tensors.items()):
        if key in own and value.ndim == 4 and own[key].ndim == 5:
            kernel_t = own[key].shape[2]
            tensors[key] = value.unsqueeze(2).repeat(1, 1, kernel_t, 1, 1) / kernel_t
    head = ("head.weight", "head.bias")
    drop_misfit(model, tensors, head)
    require_fit(path, model, tensors, may_miss=head)
    model.load_state_dict(tensors, strict=False)


def read_state_dict(path: Path, wanted: str) -> dict[str, Tensor]:
    """Named tensors of a `.safetensors` or `.pth` file, bare or below `model`, `model_state` or `state_dict`; a prefix
    `module.` is taken off.

    Args:
        wanted: what the file should be, for the message.

    Raises:
        CheckpointError: no such file, or it holds anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no weights file at {path}; give the path of {wanted}.")
    try:
        loaded = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        first_line = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{path} holds no plain tensors ({first_line}); save its state dict with torch.save or safetensors."
        ) from error
    for key in ("model", "model_state", "state_dict"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError(f"{path} is not a state dict; give a file of named tensors.")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def drop_misfit(model: nn.Module, tensors: dict[str, Tensor], head: Collection[str]) -> None:
    """Take a head out of the tensors when it is made for other classes than the model's."""
    own = model.state_dict()
    if any(key in tensors and tensors[key].shape != own[key].shape for key in head):
        for key in head:
            tensors.pop(key, None)


def require_fit(path: Path, model: nn.Module, tensors: Mapping[str, Tensor], may_miss: Collection[str] = ()) -> None:
    """Raises CheckpointError when tensors lack one of the model's, bring one it does not have, or one of another
    shape."""
    own = model.state_dict()
    missing = [key for key in own if key not in tensors and key not in may_miss]
    unexpected = [key for key in tensors if key not in own]
    shaped = [
        f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in tensors.items()
        if key in own and value.shape != own[key].shape
    ]
    problems = [
        f"{what}: {_some(keys)}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", shaped))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f"{path} does not fit this model; {'; '.join(problems)}; choose the model it was made for."
        )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
