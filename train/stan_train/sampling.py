"""Which windows of a clip show which label, and which of them an epoch draws.

A window that shows enough of the clip's activity has the clip's label, one that shows none of it is background, and
of what lies between nobody could tell. A clip whose frames nobody marked has its label everywhere: that is all
that weak labels say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import ConfigError
from stan_edge.model.contract import InputSpec
from stan_train.cache import CachedClip
from stan_train.manifest import BACKGROUND

SHARE_FOR_LABEL = 0.25
"""A window with at least this share of important frames shows the clip's activity."""
LEFT_OUT = -1
"""Label of a window of which nobody can tell what it shows."""
CANDIDATES_EVERY_S = 0.2


def window_labels(
    important: NDArray[np.bool_], ignored: NDArray[np.bool_], own: int, background: int
) -> NDArray[np.int64]:
    """int64 `[W]` from flags `[W, T]`: `own` from a quarter of important frames on, `background` with none.

    In between, or with an ignored frame and less than a quarter, nobody can tell: `LEFT_OUT`.
    """
    shows = important.mean(1) >= SHARE_FOR_LABEL - 1e-9
    empty = ~important.any(1) & ~ignored.any(1)
    return np.where(shows, own, np.where(empty, background, LEFT_OUT)).astype(np.int64)


def window_index(cached: CachedClip, start_s: float, spec: InputSpec, *, speed: float = 1.0) -> NDArray[np.int64]:
    """Kept frames `[T]` nearest to a window's ticks; past the end the last frame is repeated."""
    ticks_s = start_s + speed * spec.tick_s * np.arange(spec.frames)
    after = np.clip(np.searchsorted(cached.times_s, ticks_s), 1, max(len(cached.times_s) - 1, 1))
    if len(cached.times_s) == 1:
        return np.zeros(spec.frames, np.int64)
    nearer = ticks_s - cached.times_s[after - 1] < cached.times_s[after] - ticks_s
    return np.where(nearer, after - 1, after).astype(np.int64)


def segment_index(cached: CachedClip, frames: int, rng: np.random.Generator | None) -> NDArray[np.int64]:
    """Frames `[T]` of equal segments of the whole clip, as the paper samples: segment centres, or with `rng` a random
    frame of each; a clip shorter than T repeats its last frame."""
    count = len(cached.frames)
    within = np.full(frames, 0.5) if rng is None else rng.random(frames)
    return np.minimum(((np.arange(frames) + within) * max(count, frames) / frames).astype(np.int64), count - 1)


@dataclass(frozen=True, eq=False)
class Windows:
    """Candidate windows of a set of clips; `clip` indexes the clips, `label` the classes."""

    clip: NDArray[np.int64]
    start_s: NDArray[np.float64]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


def candidate_windows(clips: Sequence[CachedClip], classes: Sequence[str], spec: InputSpec) -> Windows:
    """All windows on a grid of 0.2 s whose label is known.

    Raises:
        ConfigError: a clip's label is not one of `classes`.
    """
    found: list[tuple[int, float, int]] = []
    nothing = classes.index(BACKGROUND) if BACKGROUND in classes else LEFT_OUT
    for number, cached in enumerate(clips):
        if cached.clip.label not in classes:
            raise ConfigError(
                f"{cached.clip.path}: label {cached.clip.label!r} is not one of the model's classes "
                f"({', '.join(classes)}); correct the manifest or leave the clip out."
            )
        starts = np.arange(0.0, max(cached.duration_s - spec.window_s + spec.tick_s, 0.0) + 1e-9, CANDIDATES_EVERY_S)
        index = np.stack([window_index(cached, start, spec) for start in starts])
        own = classes.index(cached.clip.label)
        labels = window_labels(cached.important[index], cached.ignored[index], own, nothing)
        found += [(number, start, label) for start, label in zip(starts, labels, strict=True) if label != LEFT_OUT]
    return Windows(
        np.array([row[0] for row in found], np.int64),
        np.array([row[1] for row in found], np.float64),
        np.array([row[2] for row in found], np.int64),
    )


def require_every_class(windows: Windows, classes: Sequence[str], spec: InputSpec) -> None:
    """Raises ConfigError when no window shows one of the classes."""
    for c, name in enumerate(classes):
        if not (windows.label == c).any():
            raise ConfigError(
                f"No window shows {name!r}; add clips of it, mark its frames over at least a quarter of a window "
                f"({spec.window_s:g} s), or leave the class out."
            )


def thinned_labels(clip: NDArray[np.int64], labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of at most this many windows of each clip and known label, evenly spread: neighbours show the same."""
    kept: list[int] = []
    for number, label in np.unique(np.column_stack([clip, labels]), axis=0):
        mine = np.flatnonzero((clip == number) & (labels == label))
        if label != LEFT_OUT:
            spread = (np.arange(min(most, len(mine))) + 0.5) * len(mine) / min(most, len(mine))
            kept += mine[spread.astype(np.int64)].tolist()
    return np.array(kept, np.int64)


def thinned(windows: Windows, most: int) -> Windows:
    """At most this many windows of each clip and label."""
    kept = thinned_labels(windows.clip, windows.label, most)
    return Windows(windows.clip[kept], windows.start_s[kept], windows.label[kept])


def sampling_weights(
    windows: Windows, clips: Sequence[CachedClip], background: int, share: float
) -> NDArray[np.float64]:
    """Probability `[W]` of drawing each window: background has `share`, the other classes the rest evenly; within a
    class every data set alike, so that 20 real clips are not lost among 1,000 synthetic ones; within a data set every
    clip alike, however long."""
    datasets = np.array([clips[c].clip.dataset for c in windows.clip])
    others = [label for label in np.unique(windows.label) if label != background]
    share = share if background in windows.label else 0.0
    shares = {label: (1.0 - share) / len(others) for label in others} | {background: share if others else 1.0}
    weights = np.zeros(len(windows))
    for label in np.unique(windows.label):
        mine = windows.label == label
        names = np.unique(datasets[mine])
        for name in names:
            inside = mine & (datasets == name)
            _, clip, windows_of = np.unique(windows.clip[inside], return_inverse=True, return_counts=True)
            weights[inside] = shares[label] / (len(names) * len(windows_of) * windows_of[clip])
    return weights / weights.sum()
