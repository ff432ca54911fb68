from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stan_edge.errors import CheckpointError, ConfigError
from stan_train.manifest import Clip, read_manifest
from stan_train.options import DataOptions
from stan_train.splits import Parts

NOTHING = DataOptions(val_share=0.1, draw=10)


def _clips(folder: Path) -> tuple[Clip, ...]:
    return tuple(
        Clip(
            *(folder / f"{n}.mp4", "test", "falling", f"p{n}", f"p{n}", "1", 30.0, 60, 64, 48),
            *(((10, 20),), (), "none", None),
        )
        for n in range(4)
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"val": (Path("val.csv"),)}, "--val is about clips of your own.*--data"),
        ({"folds": "subjects"}, "--folds is about clips of your own.*--data"),
        ({"val_share": 0.6}, "--val-share 0.6 must"),
        ({"val_share": float("nan")}, "--val-share nan must"),
    ],
)
def test_options_that_would_do_nothing_or_harm_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(NOTHING, **changes)


def test_a_run_is_recognised_by_its_clips_wherever_they_lie(tmp_path: Path) -> None:
    clips = _clips(tmp_path / "clips")
    parts = Parts(clips[:2], clips[2:3], clips[3:])
    parts.write(tmp_path)
    parts.require_same(tmp_path)
    parts.require_same(tmp_path / "of nobody yet")
    elsewhere = _clips(tmp_path / "elsewhere" / "clips")
    Parts(elsewhere[:2], elsewhere[2:3], elsewhere[3:]).require_same(tmp_path)
    for others, name in (
        (replace(parts, train=clips[:1]), "train.csv"),
        (replace(parts, train=(clips[0], replace(clips[1], important=((10, 21),)))), "train.csv"),
        (replace(parts, val=(replace(clips[2], label="headache"),)), "val.csv"),
        (replace(parts, test=()), "test.csv"),
    ):
        with pytest.raises(CheckpointError, match=rf"other clips \({name}\); choose another --out"):
            others.require_same(tmp_path)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    clips = _clips(tmp_path)
    Parts(clips[:3], clips[3:]).write(tmp_path)
    assert read_manifest(tmp_path / "train.csv") == clips[:3]
    assert read_manifest(tmp_path / "val.csv") == clips[3:]
    assert not (tmp_path / "test.csv").exists()
