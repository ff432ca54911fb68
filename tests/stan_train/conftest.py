"""Small clips on disk and in a cache: bright scenes are `falling`, dark ones `background`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from stan_train.cache import CachedClip, build_cache
from stan_train.manifest import BACKGROUND, Clip, Intervals
from stan_train.synth import write_video

MakeClip = Callable[..., Clip]


@pytest.fixture(scope="session")
def make_clip() -> MakeClip:
    """Writes a video whose frame k has brightness `levels[k]`, and gives its manifest row."""

    def make(
        path: Path,
        levels: Sequence[int],
        label: str = BACKGROUND,
        *,
        fps: float = 10.0,
        size_px: tuple[int, int] = (64, 48),
        important: Intervals | None = (),
        ignored: Intervals = (),
        region: str = "none",
        dataset: str = "test",
        group: str | None = None,
    ) -> Clip:
        width, height = size_px
        rng = np.random.default_rng(len(levels))
        noise = rng.integers(-12, 12, (len(levels), height, width, 3))
        frames = np.clip(np.array(levels)[:, None, None, None] + noise, 0, 255).astype(np.uint8)
        write_video(path, frames, fps)
        group = group or path.stem
        return Clip(
            path, dataset, label, group, group, "1", fps, len(levels), *size_px, important, ignored, region, None
        )

    return make


@pytest.fixture(scope="session")
def cached(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> list[CachedClip]:
    """Four clips of 3 s: two dark ones, and two in which the light goes on after a second."""
    folder = tmp_path_factory.mktemp("clips")
    clips = [make_clip(folder / f"dark{n}.mp4", [60] * (30 + n)) for n in range(2)]
    clips += [
        make_clip(folder / f"lit{n}.mp4", [60] * 10 + [190] * (20 + n), "falling", important=((10, 30 + n),))
        for n in range(2)
    ]
    found, refused = build_cache(clips, folder / "cache", 1, lambda _done, _of: None)
    if refused:
        raise RuntimeError(refused)
    return found
