from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.sources import VideoFile
from stan_train.manifest import read_manifest
from stan_train.regions import known_regions
from stan_train.synthetic.dataset import SynthOptions, synthesise

OPTIONS = SynthOptions(clips=3, seed=11, duration_s=2.0, size_px=(160, 120), activities=("background", "falling"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    done: list[tuple[int, int]] = []
    synthesise(out, OPTIONS, 1, lambda *both: done.append(both))
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]
    return out


def test_synthetic_clips_are_videos_with_exact_labels_and_regions(folder: Path) -> None:
    clips = read_manifest(folder / "manifest.csv")
    assert [clip.label for clip in clips] == ["background", "falling", "background"]
    assert len({clip.group for clip in clips}) == 3
    for clip in clips:
        source = VideoFile(clip.path)
        frames = 0
        while source.read() is not None:
            frames += 1
        assert frames == clip.frames == 20
        boxes, masks = known_regions(clip)
        assert masks is not None
        body = np.unpackbits(masks, axis=2, count=clip.width_px).astype(bool)
        for box, mask in zip(boxes, body, strict=True):
            rows, columns = np.nonzero(mask)
            if len(rows):  # the mask fills its box, which is a little larger where limbs are hidden
                assert box[0] - 3 <= columns.min()
                assert columns.max() <= box[2] + 3
                assert box[1] - 3 <= rows.min()
                assert rows.max() <= box[3] + 3
    fall = clips[1]
    assert fall.important
    assert fall.important_flags().sum() < fall.frames
    assert clips[0].important == ()


def test_finished_clips_are_not_rendered_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    (sidecar,) = folder.glob("falling/*.regions.npz")
    sidecar.unlink()  # as if the call had been killed before this clip was whole
    synthesise(folder, OPTIONS, 1, lambda _done, _of: None)
    again = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert [path.parent.name for path in before if again[path] != before[path]] == ["falling"]
    assert sidecar.is_file()


def test_another_setting_in_the_same_folder_and_unknown_activities_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clips with other settings"):
        synthesise(folder, SynthOptions(clips=3, seed=12), 1, lambda _done, _of: None)
    with pytest.raises(ConfigError, match="'dancing' does not exist"):
        synthesise(tmp_path, SynthOptions(clips=3, seed=12, activities=("dancing",)), 1, lambda _done, _of: None)
