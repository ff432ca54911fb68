"""Training windows cut from generated clips, kept on disk so that an epoch is bound by the network.

Windows are cut by the runtime's own view code. They are stored larger than the network's input
(`STORED_PX`) and before the local view is applied, so that augmentation still has both to vary.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stan_edge.contract import InputSpec
from stan_edge.person import region_from_boxes
from stan_edge.views import cut_square, place_square
from stan_train.synthetic import ACTIVITIES, SyntheticClip, draw_clip

STORED_PX = 128
CLIP_S = 6.0
CLIP_PX = (320, 240)
CLIPS_A_CHUNK = 20
IMPORTANT_FOR_LABEL = 0.25
"""A window with at least this share of important frames shows the activity; with none it is background;
in between nobody could tell, and it is left out."""


@dataclass(frozen=True)
class Samples:
    """Windows: `frames` uint8 `[N, T, S, S, 3]`, `boxes` float32 `[N, T, 4]` in pixels of S (NaN: nobody),
    `labels` int64 `[N]` indexing ACTIVITIES, `important` bool `[N, T]`."""

    frames: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    important: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Chunk:
    folder: Path
    number: int
    seed: int
    input: InputSpec


def chunk_counts(clips: int) -> int:
    return -(-clips // CLIPS_A_CHUNK)


def whole_chunks(clips: int) -> int:
    """The number of clips rounded up to what is drawn: whole chunks, at least one."""
    return max(chunk_counts(clips), 1) * CLIPS_A_CHUNK


def generate_samples(
    folder: Path, clips: int, seed: int, spec: InputSpec, workers: int, on_chunk: Callable[[int, int], None]
) -> list[Samples]:
    """Draw clips, cut their windows, and return them chunk by chunk as memory maps.

    Chunks that an earlier, interrupted call with the same arguments has finished are not drawn again.

    Args:
        on_chunk: called with (chunks done, chunks in all).
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = {"seed": seed, "input": spec.model_dump(), "stored_px": STORED_PX, "clip_s": CLIP_S}
    marker = folder / "samples.json"
    if not marker.is_file() or json.loads(marker.read_text()) != key:
        for stale in folder.glob("*.np[yz]"):
            stale.unlink()
        marker.write_text(json.dumps(key))
    total = chunk_counts(clips)
    todo = [
        _Chunk(folder, number, seed, spec) for number in range(total) if not (folder / f"{number:04d}.npz").is_file()
    ]
    on_chunk(total - len(todo), total)
    if not todo:
        return [_open_chunk(folder, number) for number in range(total)]
    # spawn: a forked worker inherits the thread pools of torch and OpenCV and can deadlock
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_draw_chunk, todo), start=total - len(todo) + 1):
            on_chunk(done, total)
    return [_open_chunk(folder, number) for number in range(total)]


def _open_chunk(folder: Path, number: int) -> Samples:
    frames = np.load(folder / f"{number:04d}.npy", mmap_mode="r")
    with np.load(folder / f"{number:04d}.npz") as file:
        return Samples(frames, file["boxes"], file["labels"], file["important"])


def _draw_chunk(chunk: _Chunk) -> None:
    import cv2

    cv2.setNumThreads(1)
    windows: list[Window] = []
    for clip_number in range(chunk.number * CLIPS_A_CHUNK, (chunk.number + 1) * CLIPS_A_CHUNK):
        rng = np.random.default_rng((chunk.seed, clip_number))
        activity = ACTIVITIES[clip_number % len(ACTIVITIES)]
        clip = draw_clip(
            activity,
            int(rng.integers(2**31)),
            duration_s=CLIP_S,
            fps=1 / chunk.input.tick_s,
            size_px=CLIP_PX,
        )
        windows.extend(cut_windows(clip, chunk.input, rng))
    samples = Samples(*(np.stack(column) for column in zip(*windows, strict=True)))
    np.save(chunk.folder / f"{chunk.number:04d}.npy", samples.frames)
    part = chunk.folder / f"{chunk.number:04d}.part.npz"
    np.savez(part, boxes=samples.boxes, labels=samples.labels, important=samples.important)
    part.replace(chunk.folder / f"{chunk.number:04d}.npz")  # the small file last: it says that the chunk is whole


Window = tuple[NDArray[np.uint8], NDArray[np.float32], np.int64, NDArray[np.bool_]]


def cut_windows(clip: SyntheticClip, spec: InputSpec, rng: np.random.Generator) -> Iterator[Window]:
    """Up to two windows that show the clip's activity and up to two that show background, at random places."""
    starts = np.arange(len(clip.frames) - spec.frames + 1)
    shares = np.array([clip.important[start : start + spec.frames].mean() for start in starts])
    background = ACTIVITIES.index("background")
    for label, fitting in (
        (ACTIVITIES.index(clip.label), starts[shares >= IMPORTANT_FOR_LABEL]),
        (background, starts[shares == 0]),
    ):
        for start in rng.choice(fitting, min(2, len(fitting)), replace=False):
            yield (
                *cut_window(clip, int(start), spec, STORED_PX),
                np.int64(label),
                clip.important[start : start + spec.frames],
            )


def cut_window(
    clip: SyntheticClip, start: int, spec: InputSpec, size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures `[T, size, size, 3]` and the person's boxes in their pixels `[T, 4]`, as the runtime frames them."""
    height, width = clip.frames.shape[1:3]
    boxes = region_from_boxes(clip.boxes_px, width, height)[start : start + spec.frames]
    square = place_square(spec.framing, width, height, boxes)
    pictures = [cut_square(frame, square, size_px) for frame in clip.frames[start : start + spec.frames]]
    in_view = [(np.nan,) * 4 if box is None else square.to_view(box, size_px) for box in boxes]
    return np.stack(pictures), np.array(in_view, np.float32)
