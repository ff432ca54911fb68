"""Which clips are trained on, which validate and, with folds, which are kept for a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from stan_edge.errors import CheckpointError, ConfigError
from stan_train.folds import Fold, grouped_k_fold, leave_one_subject_out, ntu_cross_subject, split_validation
from stan_train.manifest import Clip, read_manifest, write_manifest
from stan_train.options import DataOptions
from stan_train.progress import progress_bar
from stan_train.synthetic import ACTIVITIES
from stan_train.synthetic.dataset import SynthOptions, synthesise

VAL_SEED_OFFSET = 1_000_003
"""Synthetic validation clips come from other seeds than training clips: other people, rooms and cameras."""


@dataclass(frozen=True)
class Parts:
    """Clips by what they are for."""

    train: tuple[Clip, ...]
    val: tuple[Clip, ...]
    test: tuple[Clip, ...] = ()

    def write(self, folder: Path) -> None:
        """Write `train.csv`, `val.csv` and, if there are clips for it, `test.csv`."""
        for name, clips in self._named():
            if clips:
                write_manifest(folder / f"{name}.csv", clips)

    def require_same(self, folder: Path) -> None:
        """Raises CheckpointError when the manifests in a folder hold other clips. Where they lie does not matter, so
        that a run may be moved with its clips."""
        for name, clips in self._named():
            path = folder / f"{name}.csv"
            if path.is_file() and _placeless(read_manifest(path)) != _placeless(clips):
                raise CheckpointError(f"{folder} holds a run on other clips ({path.name}); choose another --out.")

    def _named(self) -> tuple[tuple[str, tuple[Clip, ...]], ...]:
        return ("train", self.train), ("val", self.val), ("test", self.test)


def _placeless(clips: Sequence[Clip]) -> list[Clip]:
    return [replace(clip, path=Path(clip.name)) for clip in clips]


def synthetic_parts(folder: Path, data: DataOptions, seed: int, workers: int, console: Console) -> Parts:
    """Clips of synthetic people, made in `folder` if they are not there."""
    val = max(round(data.draw * data.val_share), len(ACTIVITIES))
    return Parts(
        _rendered(folder / "train", data.draw, seed, workers, console),
        _rendered(folder / "val", val, seed + VAL_SEED_OFFSET, workers, console),
    )


def _rendered(folder: Path, clips: int, seed: int, workers: int, console: Console) -> tuple[Clip, ...]:
    with progress_bar(f"rendering {clips} clips", console) as on_clip:
        manifest = synthesise(folder, SynthOptions(clips=clips, seed=seed), workers, on_clip)
    return read_manifest(manifest)


def split(data: DataOptions, seed: int) -> Parts:
    """Clips of manifests.

    Raises:
        ConfigError: a manifest is wrong, there is no such fold, or a group would be both trained on and held out.
    """
    own = [clip for path in data.data for clip in read_manifest(path)]
    also = [clip for path in data.also for clip in read_manifest(path)]
    val = tuple(clip for path in data.val for clip in read_manifest(path))
    test: tuple[Clip, ...] = ()
    if data.folds != "none":
        fold = _fold(own, data, seed)
        own, test = [own[i] for i in fold.train], tuple(own[i] for i in fold.test)
    if not val:
        pool = own or also
        inside, outside = split_validation(pool, data.val_share, seed)
        val = tuple(pool[i] for i in outside)
        kept = [pool[i] for i in inside]
        own, also = (kept, also) if own else ([], kept)
    shared = {clip.group for clip in (*own, *also)} & {clip.group for clip in (*val, *test)}
    if shared:
        raise ConfigError(
            f"Group {min(shared)!r} is both trained on and held out; take it out of one of the manifests."
        )
    return Parts((*own, *also), val, test)


def _fold(clips: Sequence[Clip], data: DataOptions, seed: int) -> Fold:
    if data.folds == "subjects":
        folds = leave_one_subject_out(clips)
    elif data.folds == "ntu":
        folds = ntu_cross_subject(clips)
    elif data.folds.isdecimal():
        folds = grouped_k_fold(clips, int(data.folds), seed)
    else:
        raise ConfigError(f"--folds {data.folds!r} is not none, subjects, ntu or a number of folds; choose one.")
    if not 1 <= data.fold <= len(folds):
        raise ConfigError(f"--fold {data.fold}: there are folds 1 to {len(folds)}.")
    return folds[data.fold - 1]
