from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from stan_edge.contract import InputSpec
from stan_edge.errors import CheckpointError, ConfigError
from stan_train.fit import FitConfig, evaluate_windows, fit, mean_recall, normalize
from stan_train.model import Stan, StanConfig
from stan_train.samples import Samples

CONFIG = FitConfig(epochs=2, epoch_windows=4, batch=2, short_epochs=1, short_frames=4, seed=3)


@pytest.fixture(scope="module")
def windows(noisy: Callable[..., np.ndarray]) -> list[Samples]:
    levels = [60, 110, 150, 190, 60, 190]
    return [
        Samples(
            np.stack([noisy(20, level, seed, 64, 64) for seed, level in enumerate(levels)]),
            np.tile(np.array([10, 10, 50, 50], np.float32), (6, 20, 1)),
            np.array([0, 1, 2, 3, 0, 4]),
            np.zeros((6, 20), bool),
        )
    ]


@pytest.fixture(scope="module")
def spec(input_spec: InputSpec) -> InputSpec:
    return input_spec.model_copy(update={"size_px": 64})


@pytest.fixture
def train(windows: list[Samples], spec: InputSpec) -> Callable[..., Stan]:
    def run(folder: Path, config: FitConfig = CONFIG, console: Console | None = None) -> Stan:
        torch.manual_seed(0)
        model = Stan(StanConfig(5, (8, 16, 32, 32), (1, 1, 1, 1), 16))
        fit(model, windows, windows, spec, config, folder, console or Console(file=io.StringIO()))
        return model

    return run


class Interrupting(Console):
    """Ctrl-C once the first epoch has been reported."""

    def print(self, *values: Any, **options: Any) -> None:
        if any(str(value).startswith("epoch 1/") for value in values):
            raise KeyboardInterrupt


def test_a_killed_run_ends_with_the_same_weights_as_an_uninterrupted_one(
    train: Callable[..., Stan], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", console=Interrupting(file=io.StringIO()))
    started = rows(tmp_path / "killed")
    assert [row["epoch"] for row in started] == ["1"]
    resumed = train(tmp_path / "killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert timeless(rows(tmp_path / "killed")) == timeless(rows(tmp_path / "whole"))
    again = train(tmp_path / "killed")
    assert torch.equal(again.head.weight, whole.head.weight)
    assert not again.training


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def timeless(found: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "elapsed_s"} for row in found]


def test_metrics_are_one_row_an_epoch_with_curves_beside(train: Callable[..., Stan], tmp_path: Path) -> None:
    train(tmp_path, replace(CONFIG, epochs=1))
    (row,) = rows(tmp_path)
    assert list(row) == [
        "epoch",
        "frames",
        "lr",
        "train_loss",
        "val_loss",
        "val_accuracy",
        "val_recall_mean",
        "elapsed_s",
    ]
    assert (row["epoch"], row["frames"]) == ("1", "4")
    assert all(np.isfinite(float(value)) for value in row.values())
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_a_run_with_other_settings_is_refused(train: Callable[..., Stan], tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, epoch_windows=2)
    train(tmp_path, config)
    with pytest.raises(CheckpointError, match="belongs to a run with other settings"):
        train(tmp_path, replace(config, lr=2e-3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"short_epochs": 3}, "short_epochs 3 must lie between 0 and epochs 2"),
        ({"short_epochs": -1}, "short_epochs -1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(CONFIG, **changes)


def test_background_has_its_share_and_the_other_classes_share_the_rest(windows: list[Samples], spec: InputSpec) -> None:
    from stan_train.fit import _batches, _Stage

    uneven = [replace(windows[0], labels=np.array([0, 0, 0, 1, 1, 2]))]
    config = FitConfig(epochs=1, epoch_windows=1200, batch=1200, short_epochs=0, background=0.4)
    spec = spec.model_copy(update={"size_px": 32, "frames": 2})
    tiny = [replace(chunk, frames=np.zeros((6, 2, 8, 8, 3), np.uint8), boxes=chunk.boxes[:, :2]) for chunk in uneven]
    ((_, labels),) = _batches(tiny, spec, config, 0, _Stage(frames=2, batch=1200, steps=1))
    assert np.bincount(labels.numpy()) / 1200 == pytest.approx([0.4, 0.3, 0.3], abs=0.05)


def test_pixels_are_normalised_as_the_contract_says(spec: InputSpec) -> None:
    clips = torch.randint(0, 256, (2, 20, 8, 8, 3), dtype=torch.uint8)
    found = normalize(clips, spec)
    assert found.shape == (2, 3, 20, 8, 8)
    assert found[1, 2, 5, 3, 4].item() == pytest.approx((clips[1, 5, 3, 4, 2].item() / 255 - 0.45) / 0.225, rel=1e-5)


def test_mean_recall_gives_every_class_present_the_same_weight() -> None:
    labels = np.array([0, 0, 0, 0, 2, 2])
    assert mean_recall(np.array([0, 0, 0, 1, 2, 0]), labels) == pytest.approx((0.75 + 0.5) / 2)


def test_validation_is_the_mean_over_all_windows(tiny_model: Stan, windows: list[Samples], spec: InputSpec) -> None:
    halves = [Samples(*(column[part] for column in vars(windows[0]).values())) for part in (slice(0, 4), slice(4, 6))]
    cpu = torch.device("cpu")
    whole = evaluate_windows(tiny_model, windows, spec, 20, cpu)
    split = evaluate_windows(tiny_model, halves, spec, 20, cpu)
    assert split[0] == pytest.approx(whole[0], rel=1e-5)
    assert np.array_equal(split[1], whole[1])
    assert np.array_equal(split[2], windows[0].labels)
