"""Clips decoded once: frames at a moderate size and rate, and the person's region in each, as memory maps.

What is kept depends on the bytes of the clip and of its region file, on the constants here and on what finds the
person, and on nothing else; labels stay in the manifest. Frames are kept whole, so that augmentation has the room
around the person to vary, too.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from stan_edge.errors import ConfigError, StanEdgeError
from stan_edge.files import file_digest
from stan_train.decoding import LONG_SIDE_PX, RATE_HZ, decoded
from stan_train.manifest import Clip
from stan_train.progress import in_processes
from stan_train.regions import region_file, region_settings

VERSION = 2
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FRAMES, _MASKS, _ABOUT = "frames.bin", "masks.bin", "clip.npz"


@dataclass(frozen=True, eq=False)
class CachedClip:
    """A clip of N kept frames; pictures are read from disk when indexed."""

    clip: Clip
    home: Path
    """The folder that holds the arrays."""
    frames: NDArray[np.uint8]  # [N, h, w, 3], memory map
    masks: NDArray[np.uint8] | None  # [N, h, ceil(w / 8)], packed bits; all 0 where no mask is known
    boxes: NDArray[np.float32]  # [N, 4] in pixels of the kept frames; NaN: nobody known
    index: NDArray[np.int64]  # [N] frame of the source
    times_s: NDArray[np.float64]  # [N]
    important: NDArray[np.bool_]  # [N]
    ignored: NDArray[np.bool_]  # [N]

    @property
    def duration_s(self) -> float:
        return float(self.times_s[-1] - self.times_s[0])

    def __reduce__(self) -> tuple[Callable[[Clip, Path], CachedClip], tuple[Clip, Path]]:
        return _open, (self.clip, self.home)  # a pickled memory map would carry all its pictures to each worker

    def mask(self, k: int) -> NDArray[np.bool_] | None:
        """The body's pixels `[h, w]` in a kept frame; None where they are not known."""
        if self.masks is None or not self.masks[k].any():
            return None
        return np.unpackbits(self.masks[k], axis=1, count=self.frames.shape[2]).astype(bool)


@dataclass(frozen=True)
class Refusal:
    """A clip that could not be cached, and why."""

    clip: Clip
    reason: str


def build_cache(
    clips: Sequence[Clip], folder: Path, workers: int, on_clip: Callable[[int, int], None]
) -> tuple[list[CachedClip], list[Refusal]]:
    """Decode what is not cached yet; return the clips that can be used, in order, and those that cannot.

    A killed call loses at most the clips it was busy with.

    Args:
        on_clip: called with (clips done, clips in all).

    Raises:
        ConfigError: the disk is full, or the folder cannot be written; what is cached stays, a rerun goes on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_parts(folder)
    except OSError as error:
        raise ConfigError(f"--cache {folder}: cannot be written ({error}); choose another folder.") from error
    done = 0

    def count(now: int, total: int) -> None:
        nonlocal done
        done = now
        on_clip(now, total)

    count(0, len(clips))
    try:
        found = in_processes(partial(_cached, folder), clips, workers, count)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise ConfigError(
            f"--cache {folder}: the disk is full after {done} of {len(clips)} clips; free some space or "
            "choose another folder, and run the command again: it goes on where it stopped."
        ) from error
    homes = [(clip, home) for clip, home in zip(clips, found, strict=True) if isinstance(home, Path)]
    return [_open(clip, home) for clip, home in homes], [refusal for refusal in found if isinstance(refusal, Refusal)]


def _remove_parts(folder: Path) -> None:
    """What killed processes left half-written; another run may be filling the same folder just now."""
    for left in folder.glob("*.part-*"):
        if not psutil.pid_exists(int(left.name.rpartition("-")[2])):
            shutil.rmtree(left)


def _open(clip: Clip, home: Path) -> CachedClip:
    with np.load(home / _ABOUT) as file:
        index, times_s, boxes = file["index"], file["times_s"], file["boxes"]
        (height, width), has_masks = file["size"], bool(file["has_masks"])
    count = len(index)
    masks_shape = (count, height, -(-width // 8))
    return CachedClip(
        clip=clip,
        home=home,
        frames=np.memmap(home / _FRAMES, np.uint8, "r", shape=(count, height, width, 3)),
        masks=np.memmap(home / _MASKS, np.uint8, "r", shape=masks_shape) if has_masks else None,
        boxes=boxes,
        index=index,
        times_s=times_s,
        important=_at(clip.important_flags(), index),
        ignored=_at(clip.ignored_flags(), index),
    )


def _at(flags: NDArray[np.bool_], index: NDArray[np.int64]) -> NDArray[np.bool_]:
    return flags[np.minimum(index, len(flags) - 1)]


def _cached(folder: Path, clip: Clip) -> Path | Refusal:
    """Where the arrays of a clip are, decoded if they were not there; or why they cannot be had.

    Raises:
        OSError: the disk is full.
    """
    import cv2

    cv2.setNumThreads(1)
    try:
        home = folder / _key(clip)
        if not home.is_dir():
            _write(clip, home)
    except StanEdgeError as error:
        return Refusal(clip, str(error))
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise
        return Refusal(clip, f"{clip.path}: {error}")
    return home


def _key(clip: Clip) -> str:
    """Digest of everything that the cached arrays depend on."""
    settings = {
        "version": VERSION,
        "long_side_px": LONG_SIDE_PX,
        "rate_hz": RATE_HZ,
        "region": clip.region,
        "crop": str(clip.crop),
        "person": region_settings(clip),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in (clip.path, region_file(clip)):
        if path is not None:
            digest.update(file_digest(path).encode())
    return digest.hexdigest()[:32]


def _write(clip: Clip, home: Path) -> None:
    part = home.with_name(f"{home.name}.part-{os.getpid()}")
    part.mkdir(exist_ok=True)  # a killed process may have had the same number
    about: dict[str, list[object]] = {"index": [], "times_s": [], "boxes": []}
    has_masks = False
    size: tuple[int, ...] = (0, 0)
    try:
        # plain writes, one frame in memory: on a full disk a memory map would kill the process
        with (part / _FRAMES).open("wb") as frames, (part / _MASKS).open("wb") as masks:
            for kept in decoded(clip):
                size = kept.picture.shape[:2]
                frames.write(kept.picture.tobytes())
                has_masks |= kept.mask is not None
                masks.write(bytes(size[0] * -(-size[1] // 8)) if kept.mask is None else kept.mask.tobytes())
                for name, value in (("index", kept.index), ("times_s", kept.t_s), ("boxes", kept.box)):
                    about[name].append(value)
        np.savez(
            part / _ABOUT,
            index=np.array(about["index"], np.int64),
            times_s=np.array(about["times_s"], np.float64),
            boxes=np.array(about["boxes"], np.float32),
            size=np.array(size),
            has_masks=np.array(has_masks),
        )
        try:
            part.replace(home)
        except OSError:
            if not home.is_dir():  # otherwise another process has just written the same
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
