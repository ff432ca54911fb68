"""What `train` refuses before hours are spent, and what it says of the clips it learnt from."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stan_edge.errors import CheckpointError, ConfigError
from stan_train.augment import AugmentConfig
from stan_train.cache import CachedClip
from stan_train.manifest import UNKNOWN, Clip, write_manifest
from stan_train.options import DataOptions, FitConfig, MachineOptions, ModelOptions
from stan_train.preparation import Prepared, prepared_by_first
from stan_train.provenance import limits_of
from stan_train.train import train
from tests.conftest import MakeClip

MODEL = ModelOptions(
    model="stan-t", init=None, size_px=32, window_s=2.0, view="blend", region="box", background_share=0.3
)
SYNTHETIC = DataOptions(val_share=0.1, draw=10)
QUICK = FitConfig(epochs=1, epoch_windows=4, batch=4, micro_batch=2)
MACHINE = MachineOptions(workers=1)


@pytest.mark.parametrize("changes", [{"size_px": 16}, {"size_px": 100}, {"window_s": 0.05}, {"window_s": float("nan")}])
def test_an_input_that_no_network_can_take_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--(size|window) .* must be"):
        replace(MODEL, **changes).spec()


@pytest.mark.parametrize(
    ("model", "machine", "error"),
    [
        (replace(MODEL, model="stan-xl"), MACHINE, ConfigError),
        (replace(MODEL, size_px=100), MACHINE, ConfigError),
        (replace(MODEL, init=Path("bad.pth")), MACHINE, CheckpointError),
        (MODEL, replace(MACHINE, devices=3), ConfigError),
    ],
)
def test_what_the_options_show_to_be_wrong_is_refused_before_anything_is_drawn(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: ModelOptions,
    machine: MachineOptions,
    error: type[Exception],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv.weight": torch.zeros(3)}, "bad.pth")
    with pytest.raises(error):
        train(tmp_path / "run", SYNTHETIC, model, QUICK, AugmentConfig(), machine)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("whole_clips", [False, True])
def test_a_label_that_only_validation_shows_is_refused_before_decoding(
    make_clip: MakeClip, tmp_path: Path, whole_clips: bool
) -> None:
    clips = [make_clip(tmp_path / f"{label}.mp4", [60] * 24, label) for label in ("background", "falling", "headache")]
    write_manifest(tmp_path / "train.csv", clips[:2])
    write_manifest(tmp_path / "val.csv", clips[2:])
    data = replace(SYNTHETIC, data=(tmp_path / "train.csv",), val=(tmp_path / "val.csv",))
    config = replace(QUICK, whole_clips=whole_clips)
    with pytest.raises(ConfigError, match="show 'headache', which no training clip shows"):
        train(tmp_path / "run", data, MODEL, config, AugmentConfig(), MACHINE)
    assert not (tmp_path / "run" / "cache").exists()


def test_a_class_of_which_no_whole_clip_can_be_decoded_is_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", [60] * 24) for n in range(2)]
    broken = replace(make_clip(tmp_path / "fall.mp4", [60] * 24, "falling"))
    broken.path.write_bytes(b"not a video")
    write_manifest(tmp_path / "train.csv", [clips[0], broken])
    write_manifest(tmp_path / "val.csv", clips[1:])
    data = replace(SYNTHETIC, data=(tmp_path / "train.csv",), val=(tmp_path / "val.csv",))
    with pytest.raises(ConfigError, match="No window shows 'falling'"):
        train(tmp_path / "run", data, MODEL, replace(QUICK, whole_clips=True), AugmentConfig(), MACHINE)


class SecondProcess:
    """Stands for the fabric of a process that is not the first; the first says `said`."""

    global_rank = 1

    def __init__(self, said: Prepared | None) -> None:
        self._said = said

    def rank_zero_first(self) -> nullcontext[None]:
        return nullcontext()

    def broadcast(self, _own: object) -> Prepared | None:
        return self._said


@pytest.mark.parametrize("said", [None, Prepared(("background", "falling"), [], [])])
def test_only_the_first_process_prepares(said: Prepared | None) -> None:
    def prepare() -> Prepared:
        raise AssertionError("prepared a second time")

    assert prepared_by_first(SecondProcess(said), prepare) is said  # type: ignore[arg-type]


def test_people_whom_nobody_named_are_not_counted(cached: list[CachedClip]) -> None:
    def filmed(subject: str) -> Clip:
        return replace(cached[0].clip, subject=subject)

    assert limits_of([filmed("ann"), filmed("bob"), filmed("ann")]).startswith("filmed people: 2;")
    assert limits_of([filmed("ann"), filmed(UNKNOWN)]).startswith("filmed people: 1 and some whom nobody named;")
