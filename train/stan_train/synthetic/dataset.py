"""`stan-edge data synth`: synthetic clips as ordinary video files, with a manifest and the person's true regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.files import replacing
from stan_train.manifest import REGION_SIDECAR, Clip, intervals_of, write_manifest
from stan_train.progress import in_processes
from stan_train.synthetic.clip import SyntheticClip, render_clip
from stan_train.synthetic.motion.activities import ACTIVITIES

DATASET = "synthetic"
"""Data set of all synthetic clips, in manifests and in the cards of models."""


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """What to render: clip n shows activity n modulo their number; each clip is another person in another room."""

    clips: int
    seed: int
    duration_s: float = 6.0
    fps: float = 10.0
    size_px: tuple[int, int] = (320, 240)
    activities: tuple[str, ...] = ACTIVITIES


@dataclass(frozen=True)
class _Order:
    folder: Path
    number: int
    options: SynthOptions

    @property
    def activity(self) -> str:
        return self.options.activities[self.number % len(self.options.activities)]

    @property
    def path(self) -> Path:
        return self.folder / self.activity / f"{self.options.seed}-{self.number:05d}.mp4"


def synthesise(folder: Path, options: SynthOptions, workers: int, on_clip: Callable[[int, int], None]) -> Path:
    """Render clips into `folder/<activity>/`, write `folder/manifest.csv`, return its path.

    Clips that an earlier, interrupted call with the same arguments finished are kept.

    Args:
        on_clip: called with (clips done, clips in all).

    Raises:
        ConfigError: an activity does not exist, or the folder holds clips with other settings.
    """
    unknown = [name for name in options.activities if name not in ACTIVITIES]
    if unknown:
        raise ConfigError(f"Activity {unknown[0]!r} does not exist; choose from {', '.join(ACTIVITIES)}.")
    _claim(folder, options)
    orders = [_Order(folder, number, options) for number in range(options.clips)]
    todo = [order for order in orders if not _sidecar(order.path).is_file()]
    kept = len(orders) - len(todo)
    on_clip(kept, len(orders))
    if todo:
        in_processes(_render, todo, workers, lambda done, _todo: on_clip(kept + done, len(orders)))
    manifest = folder / "manifest.csv"
    write_manifest(manifest, _rows(orders))
    return manifest


def _claim(folder: Path, options: SynthOptions) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "synth.txt"
    wanted = (
        f"seed {options.seed}, {options.duration_s} s, {options.fps} fps, {options.size_px}, {options.activities}\n"
    )
    if note.is_file() and note.read_text(encoding="utf-8") != wanted:
        raise ConfigError(f"{folder} holds clips with other settings (synth.txt); choose another folder.")
    note.write_text(wanted, encoding="utf-8")


def _render(order: _Order) -> None:
    import cv2

    cv2.setNumThreads(1)
    options = order.options
    rng = np.random.default_rng((options.seed, order.number))
    clip = render_clip(
        order.activity,
        int(rng.integers(2**31)),
        duration_s=options.duration_s,
        fps=options.fps,
        size_px=options.size_px,
    )
    order.path.parent.mkdir(exist_ok=True)
    write_video(order.path, clip.frames, options.fps)
    _write_sidecar(order.path, clip)


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], fps: float) -> None:
    """RGB frames `[L, H, W, 3]` as an MPEG-4 file.

    Raises:
        ConfigError: the file cannot be written.
    """
    import cv2

    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise ConfigError(f"{path} cannot be written; check that the folder is writable and the disk is not full.")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def _sidecar(path: Path) -> Path:
    return path.with_suffix(REGION_SIDECAR)


def _write_sidecar(path: Path, clip: SyntheticClip) -> None:
    with replacing(_sidecar(path)) as part:  # last: it says that the clip is whole
        np.savez_compressed(part, boxes=clip.boxes_px, masks=clip.masks, important=clip.important)


def _rows(orders: Sequence[_Order]) -> Iterator[Clip]:
    for order in orders:
        with np.load(_sidecar(order.path)) as sidecar:
            important = sidecar["important"]
        person = f"{DATASET}-{order.options.seed}-{order.number:05d}"
        yield Clip(
            path=order.path,
            dataset=DATASET,
            label=order.activity,
            subject=person,
            group=person,
            camera="drawn",  # as in the manifests of runs that may be continued
            fps=order.options.fps,
            frames=len(important),
            width_px=order.options.size_px[0],
            height_px=order.options.size_px[1],
            important=intervals_of(important),
            ignored=(),
            region="sidecar",
            crop=None,
        )
