"""Hugging Face video classifiers on disk, and what their attention says (after STAA, arXiv 2411.00630).

Any model that `AutoModelForVideoClassification` reads and that takes `pixel_values` `[B, T, 3, S, S]` gets the gradient
methods; TimeSformer and ViViT, whose attention STAA was made for, get `staa` as well. Nothing is fetched, and no code
that comes with a model is run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from stan_edge.errors import CheckpointError
from stan_edge.files import file_digest
from stan_edge.model.contract import InputSpec
from stan_export.classifier import classifier
from stan_export.classifier.explanations import Explain, Explained, kept_outputs, to_frames
from stan_export.explainable import Explainable

PROCESSOR = "preprocessor_config.json"


def read_hugging_face(
    folder: Path, *, window_s: float, background: str | None, alarms: Sequence[str] | None
) -> Explainable:
    """A folder that `save_pretrained` wrote, for the model and for its image processor.

    Args:
        window_s: time that the model's frames span; the files do not say it.

    Raises:
        CheckpointError: no such model, or its files do not fit each other.
        ConfigError: see `stan_export.classifier.classifier`.
    """
    # read when these modules are imported: no network, no bars and no advice among our own lines
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    from transformers import AutoModelForVideoClassification

    processor = _read_processor(folder / PROCESSOR)
    try:
        model = AutoModelForVideoClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
        )
    except Exception as error:  # of its configurations each raises what it likes
        first_line = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{folder} holds no video classifier that can be read ({first_line}).") from error
    config = model.config
    side = _side(config.image_size)
    if side is None:
        raise CheckpointError(f"{folder}: pictures of {config.image_size} are not square; only square ones are read.")
    if config.num_channels != 3:
        raise CheckpointError(f"{folder}: pictures of {config.num_channels} channels are not RGB; only RGB is read.")
    labels = [config.id2label.get(number) for number in range(config.num_labels)]
    if not all(isinstance(label, str) for label in labels):
        raise CheckpointError(f"{folder}: id2label does not name every class; save the model with its labels.")
    try:
        spec = InputSpec(
            frames=config.num_frames,
            window_s=window_s,
            size_px=side,
            view="global",
            framing="letterbox",
            region="box",
            mean=0.0,  # `_Pixels` normalises, each channel by itself
            std=1.0,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{folder}: {first['loc'][0]} cannot be used ({first['msg']}).") from error
    return classifier(
        _Pixels(model, processor),
        folder.resolve().name,
        labels,
        spec,
        background=background,
        alarms=alarms,
        staa=_staa(config),
        provenance={
            "architecture": type(model).__name__,
            "weights": f"{folder.resolve().name}, {_weights_digest(folder)}",
        },
    )


Three = tuple[float, float, float]
Deviation = Annotated[float, Field(gt=0)]


class _Processor(BaseModel):
    """What of an image processor decides the values that the model gets; the rest of its fields is not looked at."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    do_rescale: bool | None = True
    rescale_factor: float = 1 / 255
    offset: bool | None = False
    do_normalize: bool | None = True
    image_mean: Three | None = None
    image_std: tuple[Deviation, Deviation, Deviation] | None = None


class _Pixels(nn.Module):
    """The model behind what its image processor does to pixels: values 0 to 1, `[B, 3, T, S, S]` -> logits."""

    gain: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, processor: _Processor) -> None:
        super().__init__()
        self.model = model
        # gray level v becomes (v * factor - offset - mean) / std
        factor = processor.rescale_factor if processor.do_rescale else 1.0
        offset = 1.0 if processor.offset else 0.0
        mean = torch.tensor(processor.image_mean if processor.do_normalize else [0.0] * 3)
        std = torch.tensor(processor.image_std if processor.do_normalize else [1.0] * 3)
        self.register_buffer("gain", (255 * factor / std).view(1, 1, 3, 1, 1))
        self.register_buffer("shift", (-(offset + mean) / std).view(1, 1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixel_values=pixels.transpose(1, 2) * self.gain + self.shift).logits


def _staa(config: Any) -> Explain | None:
    last = config.num_hidden_layers - 1
    if config.model_type == "timesformer" and config.attention_type == "divided_space_time":
        return partial(_staa_timesformer, f"model.timesformer.encoder.layer.{last}")
    if config.model_type == "vivit":
        return partial(_staa_vivit, f"model.vivit.layers.{last}.attention", config.num_frames // config.tubelet_size[0])
    return None


def _staa_timesformer(layer: str, network: nn.Module, pixels: Tensor, _class_index: Tensor) -> Explained:
    """Time: attention that a frame receives in the last layer's temporal attention, mean over heads, patches and frames
    that give it. Space: the class token's row of that layer's spatial attention, frame by frame."""
    # dropout passes attention on as it is
    kept = [f"{layer}.{attention}.attention.attn_drop" for attention in ("temporal_attention", "attention")]
    logits, (temporal, spatial) = kept_outputs(network, kept, pixels)
    batch, frames = len(pixels), pixels.shape[2]
    time = temporal.view(batch, -1, *temporal.shape[1:]).mean((1, 2, 3))  # [B, patches, heads, T, T] -> [B, T]
    row = spatial[:, :, 0, 1:].mean(1).view(batch, frames, -1)  # [B, T, patches]
    return (logits, *_time_and_space(time, row, frames))


def _staa_vivit(layer: str, steps: int, network: nn.Module, pixels: Tensor, _class_index: Tensor) -> Explained:
    """One attention over space and time: what the patches of a step receive from all patches, mean over heads, and the
    class token's row within the step."""
    logits, (attention,) = kept_outputs(network, [layer], pixels)
    mean = attention.mean(1)  # [B, 1 + N, 1 + N]
    received = mean[:, 1:, 1:].mean(1).view(len(pixels), steps, -1).sum(2)  # [B, t]
    return (logits, *_time_and_space(received, mean[:, 0, 1:].reshape(len(pixels), steps, -1), pixels.shape[2]))


def _time_and_space(time: Tensor, row: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Frame scores `[B, T]`, and the map `[B, T, h, w]` that spreads each of them over space.

    Args:
        time: `[B, t]`.
        row: attention of the class token, `[B, t, h * w]`, of square pictures.
    """
    side = round(row.shape[2] ** 0.5)
    spread = time[:, :, None] * row / row.sum(2, keepdim=True)
    cells = to_frames(spread.view(*time.shape, side, side), frames)
    return cells.sum((2, 3)), cells


def _side(size: int | Sequence[int]) -> int | None:
    """Side of a square; None when it is none."""
    sides = {size} if isinstance(size, int) else set(size)
    return sides.pop() if len(sides) == 1 else None


def _weights_digest(folder: Path) -> str:
    parts = sorted(folder.glob("*.safetensors"))
    return ", ".join(f"{path.name} sha256 {file_digest(path)[:16]}" for path in parts)


def _read_processor(path: Path) -> _Processor:
    advice = "save the model's image processor beside it with save_pretrained"
    try:
        processor = _Processor.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{path} cannot be read ({field}{': ' if field else ''}{first['msg']}); {advice}."
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {advice}.") from error
    if processor.do_normalize and (processor.image_mean is None or processor.image_std is None):
        raise CheckpointError(f"{path} cannot be read (image_mean or image_std is missing); {advice}.")
    return processor
