"""Small clips on disk and in a cache: bright scenes are `falling`, dark ones `background`."""

from __future__ import annotations

import pytest

from stan_train.cache import CachedClip, build_cache
from tests.conftest import MakeClip


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
