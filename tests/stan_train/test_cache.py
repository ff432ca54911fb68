from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stan_edge.errors import ConfigError
from stan_edge.person import tracking
from stan_edge.sources import VideoFile
from stan_edge.sources.scripted import ScriptedSource, Show
from stan_train import decoding, regions
from stan_train.cache import CachedClip, Refusal, _cached, _key, _write, build_cache
from stan_train.manifest import REGION_SIDECAR
from stan_train.progress import in_processes
from tests.conftest import MakeClip


def quiet(_done: int, _of: int) -> None:
    return None


def test_cached_frames_are_the_decoded_ones(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [40, 80, 120, 160, 200])
    ((cached,), refused) = build_cache([clip], tmp_path / "cache", 1, quiet)
    assert refused == []
    source = VideoFile(clip.path)
    for k in range(5):
        frame = source.read()
        assert frame is not None
        assert np.array_equal(cached.frames[k], frame.image)
        assert cached.times_s[k] == pytest.approx(frame.t_capture_s)
    source.close()
    assert np.isnan(cached.boxes).all()


def test_fast_and_large_videos_lose_frames_and_pixels_and_flags_stay_with_their_frames(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    clip = make_clip(
        tmp_path / "a.mp4", [60] * 30 + [200] * 30, "falling", fps=30.0, size_px=(640, 352), important=((30, 60),)
    )
    ((cached,), _) = build_cache([clip], tmp_path / "cache", 1, quiet)
    assert cached.frames.shape[1:] == (176, 320, 3)
    assert len(cached.frames) == pytest.approx(30, abs=1)
    assert np.allclose(np.diff(cached.times_s), 1 / 15, atol=0.035)
    lit = cached.frames.mean(axis=(1, 2, 3)) > 130
    assert np.array_equal(cached.important, lit)


def test_a_second_call_decodes_nothing_and_a_killed_one_leaves_nothing_behind(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", [60 + n] * 8) for n in range(3)]
    folder = tmp_path / "cache"
    build_cache(clips[:2], folder, 1, quiet)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.bin")}
    dead = subprocess.Popen(["true"])
    dead.wait()
    (folder / f"{'0' * 32}.part-{dead.pid}").mkdir()
    found, _ = build_cache(clips, folder, 1, quiet)
    assert len(found) == 3
    assert all(path.stat().st_mtime_ns == before[path] for path in before)
    assert not list(folder.glob("*.part-*"))


def test_what_another_running_process_writes_is_left_alone(make_clip: MakeClip, tmp_path: Path) -> None:
    part = tmp_path / "cache" / f"{'0' * 32}.part-{os.getpid()}"
    part.mkdir(parents=True)
    build_cache([make_clip(tmp_path / "a.mp4", [60] * 8)], tmp_path / "cache", 1, quiet)
    assert part.is_dir()


def test_the_same_bytes_may_be_cached_by_two_processes_at_once(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 60)
    shutil.copy(clip.path, tmp_path / "b.mp4")
    found, refused = build_cache([clip, replace(clip, path=tmp_path / "b.mp4")], tmp_path / "cache", 2, quiet)
    assert (len(found), refused) == (2, [])
    _write(clip, found[0].home)  # as by the slower of two
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [found[0].home.name]


def test_a_process_that_is_killed_ends_the_call() -> None:
    with pytest.raises(ConfigError, match="fewer --workers"):
        in_processes(os._exit, [1, 1, 1], 1, quiet)


def test_a_picture_that_changes_its_size_is_refused_with_its_frame(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 8)
    pictures = [np.zeros((48, 64, 3), np.uint8)] * 3 + [np.zeros((96, 64, 3), np.uint8)]
    monkeypatch.setattr(decoding, "open_source", lambda *_, **__: ScriptedSource([Show(pictures, 10.0)]))
    refusal = _cached(tmp_path, clip)
    assert isinstance(refusal, Refusal)
    assert "a.mp4: the picture changes from 64x48 to 64x96 at frame 3" in refusal.reason
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("region", ["pose", "sidecar"])
def test_another_rule_for_finding_the_person_is_another_entry(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, region: str
) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 8, region=region)
    np.savez(tmp_path / f"a{REGION_SIDECAR}", boxes=np.zeros((8, 4), np.float32))
    whole = replace(clip, region="none")
    keys, others = [_key(clip)], [_key(whole)]
    monkeypatch.setattr(tracking, "HOLD_S", 2.0)
    keys, others = [*keys, _key(clip)], [*others, _key(whole)]
    monkeypatch.setattr(regions, "version", lambda _name: "0.0")
    keys, others = [*keys, _key(clip)], [*others, _key(whole)]
    assert len(set(keys)) == (3 if region == "pose" else 2)
    assert len(set(others)) == 1


def test_the_key_is_the_content_not_the_name(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 8)
    shutil.copy(clip.path, tmp_path / "b.mp4")
    folder = tmp_path / "cache"
    build_cache([clip, replace(clip, path=tmp_path / "b.mp4")], folder, 1, quiet)
    assert len(list(folder.iterdir())) == 1
    make_clip(tmp_path / "a.mp4", [90] * 8)
    build_cache([clip], folder, 1, quiet)
    assert len(list(folder.iterdir())) == 2


def test_known_regions_are_kept_with_the_runtimes_margin_and_their_change_is_noticed(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 12, region="sidecar")
    boxes = np.tile(np.array([20, 10, 40, 40], np.float32), (12, 1))
    masks = np.zeros((12, 48, 8), np.uint8)
    masks[:, 12:38, 3] = 255
    sidecar = tmp_path / f"a{REGION_SIDECAR}"
    np.savez(sidecar, boxes=boxes, masks=masks)
    folder = tmp_path / "cache"
    ((cached,), _) = build_cache([clip], folder, 1, quiet)
    last = cached.boxes[-1]
    assert (last[:2] < [20, 10]).all()
    assert (last[2:] > [40, 40]).all()
    mask = cached.mask(11)
    assert mask is not None
    assert mask[20, 28]
    assert not mask[20, 60]
    np.savez(sidecar, boxes=boxes + 1, masks=masks)
    build_cache([clip], folder, 1, quiet)
    assert len(list(folder.iterdir())) == 2


def test_what_cannot_be_decoded_is_named_and_the_rest_is_cached(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "good.mp4", [60] * 8)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    broken = replace(clip, path=tmp_path / "broken.mp4")
    gone = replace(clip, path=tmp_path / "gone.mp4")
    unknown = replace(make_clip(tmp_path / "known.mp4", [70] * 8), region="sidecar")
    found, refused = build_cache([broken, clip, gone, unknown], tmp_path / "cache", 2, quiet)
    assert [cached.clip for cached in found] == [clip]
    assert [refusal.clip for refusal in refused] == [broken, gone, unknown]
    for refusal, name in zip(refused, ("broken.mp4", "gone.mp4", "known.regions.npz"), strict=True):
        assert name in refusal.reason


def test_a_clip_travels_to_another_process_without_its_pictures(cached: list[CachedClip]) -> None:
    packed = pickle.dumps(cached[0])
    assert len(packed) < 2000
    assert np.array_equal(pickle.loads(packed).frames, cached[0].frames)


def test_a_full_disk_is_said_and_a_rerun_goes_on(make_clip: MakeClip, small_disk: Path, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", [60 + n] * 12) for n in range(3)]  # 110 kB each
    subprocess.run(["mount", "-o", "remount,size=200k", str(small_disk)], check=True)
    with pytest.raises(ConfigError, match="the disk is full after 1 of 3 clips"):
        build_cache(clips, small_disk / "cache", 1, quiet)
    assert len(list((small_disk / "cache").iterdir())) == 1
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    found, refused = build_cache(clips, small_disk / "cache", 1, quiet)
    assert (len(found), refused) == (3, [])
    assert found[0].frames.shape == (12, 48, 64, 3)


def test_a_folder_that_cannot_be_written_is_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", [60] * 8)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        build_cache([clip], tmp_path / "file" / "cache", 1, quiet)
