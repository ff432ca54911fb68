"""Features of every frame of a clip by ResNet-50, of the whole picture and of the person's region, kept on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stan_edge.files import file_digest, replacing
from stan_edge.person.tracking import NOBODY
from stan_edge.pipeline.views import PlainView, apply_view, cut_square, place_square
from stan_edge.sources import open_source
from stan_train.baselines.resnet import ResNet50
from stan_train.manifest import Clip
from stan_train.regions import person_tracker

BaselineView = Literal["global", "local", "global+local"]


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """Features of every frame of a clip, float32 `[L, 2048]` each: of whole frames, and of the person's region."""

    clip: Clip
    whole: NDArray[np.float32]
    local: NDArray[np.float32]

    def of(self, view: BaselineView) -> NDArray[np.float32]:
        """`[L, 2048]`, or both side by side `[L, 4096]`."""
        if view == "global+local":
            return np.concatenate([self.whole, self.local], axis=1)
        return self.whole if view == "global" else self.local


def clip_features(clip: Clip, resnet: ResNet50, size_px: int, folder: Path) -> ClipFeatures:
    """Features of a clip, kept in `folder` by the content of its file.

    Raises:
        SourceError: the clip cannot be read.
        ConfigError: its regions cannot be had.
    """
    key = hashlib.sha256(f"{file_digest(clip.path)} {clip.region} {clip.crop} {size_px}".encode()).hexdigest()[:32]
    kept = folder / f"{key}.npz"
    if not kept.is_file():
        pictures = _pictures(clip, size_px)
        with replacing(kept) as part:
            np.savez(part, whole=resnet.features(pictures["global"]), local=resnet.features(pictures["local"]))
    with np.load(kept) as file:
        return ClipFeatures(clip, file["whole"], file["local"])


def _pictures(clip: Clip, size_px: int) -> dict[PlainView, NDArray[np.uint8]]:
    pictures: dict[PlainView, list[NDArray[np.uint8]]] = {"global": [], "local": []}
    source = open_source(str(clip.path), crop=clip.crop)
    try:
        with person_tracker(clip, masks=False) as tracker:
            while (frame := source.read()) is not None:
                region = NOBODY if tracker is None else tracker.update(frame)
                height, width = frame.image.shape[:2]
                square = place_square("letterbox", width, height, [])
                picture = cut_square(frame.image, square, size_px)
                box = None if region.box_px is None else square.to_view(region.box_px, size_px)
                for view, seen in pictures.items():
                    seen.append(apply_view(picture, box, view))
    finally:
        source.close()
    return {view: np.stack(seen) for view, seen in pictures.items()}
