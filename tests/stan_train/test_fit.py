from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console

from stan_edge.errors import CheckpointError, ConfigError
from stan_edge.model.contract import InputSpec
from stan_train.augment import AugmentConfig
from stan_train.batches import TrainingSet
from stan_train.cache import CachedClip
from stan_train.fit import fit
from stan_train.model import Stan, StanConfig
from stan_train.options import FitConfig
from stan_train.run_state import STATE
from stan_train.sampling import candidate_windows, sampling_weights, thinned
from stan_train.validation import evaluate_windows, mean_recall, normalize, view_logits

CONFIG = FitConfig(epochs=2, epoch_windows=4, batch=4, micro_batch=2, short_epochs=1, short_frames=4, lr=2e-3, seed=3)
CLASSES = ("background", "falling")


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


@pytest.fixture(scope="module")
def data(cached: list[CachedClip], input_spec: InputSpec) -> TrainingSet:
    windows = thinned(candidate_windows(cached, CLASSES, input_spec), 1)
    return TrainingSet(cached, windows, sampling_weights(windows, cached, 0, 0.5), CLASSES)


@pytest.fixture
def train(data: TrainingSet, input_spec: InputSpec, fabric: Fabric) -> Callable[..., Stan]:
    def run(folder: Path, config: FitConfig = CONFIG, console: Console | None = None, fabric: Fabric = fabric) -> Stan:
        torch.manual_seed(0)
        model = Stan(StanConfig(2, (8, 16, 32, 32), (1, 1, 1, 1), 16, drop_path=0.2))
        quiet = console or Console(file=io.StringIO())
        fit(fabric, model, data, data, input_spec, config, AugmentConfig(flip=("falling",)), folder, quiet, workers=0)
        return model

    return run


class Interrupting(Console):
    """Ctrl-C once the first epoch has been reported."""

    def print(self, *values: Any, **options: Any) -> None:
        if any(str(value).startswith("epoch 1/") for value in values):
            raise KeyboardInterrupt


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def timeless(found: list[dict[str, str]]) -> list[dict[str, str]]:
    timed = ("elapsed_s", "windows_per_s", "data_wait_share", "peak_rss_mb")
    return [{key: value for key, value in row.items() if key not in timed} for row in found]


def test_a_killed_run_ends_with_the_same_weights_as_an_uninterrupted_one(
    train: Callable[..., Stan], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", console=Interrupting(file=io.StringIO()))
    assert [row["epoch"] for row in rows(tmp_path / "killed")] == ["1"]
    resumed = train(tmp_path / "killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert timeless(rows(tmp_path / "killed")) == timeless(rows(tmp_path / "whole"))
    again = train(tmp_path / "killed")
    assert torch.equal(again.head.weight, whole.head.weight)
    assert not again.training


class Mover(Fabric):
    """Says what the optimiser held when the parameters were moved to their device."""

    held: int | None = None

    def setup(self, module: Any, *optimizers: Any, **options: Any) -> Any:
        self.held = len(optimizers[0].state)
        return super().setup(module, *optimizers, **options)


def test_the_optimisers_state_is_restored_where_the_parameters_have_been_moved(
    train: Callable[..., Stan], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, console=Interrupting(file=io.StringIO()))
    mover = Mover(accelerator="cpu", devices=1)
    train(tmp_path, fabric=mover)
    assert mover.held == 0


def test_the_learning_rate_is_that_of_the_middle_of_a_step(train: Callable[..., Stan], tmp_path: Path) -> None:
    train(tmp_path, replace(CONFIG, epochs=1, short_epochs=0))  # a single step
    middle = 0.5 * (1 + np.cos(np.pi * (0.5 - 0.1) / 0.9))
    assert float(rows(tmp_path)[0]["lr"]) == pytest.approx(CONFIG.lr * middle, rel=1e-5)


def test_training_that_diverges_is_refused_and_leaves_no_state(train: Callable[..., Stan], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Training diverged.*lower --lr"):
        train(tmp_path, replace(CONFIG, lr=1e30))
    assert not (tmp_path / STATE).exists()


def test_metrics_are_one_row_an_epoch_with_curves_beside(train: Callable[..., Stan], tmp_path: Path) -> None:
    before_mb = psutil.Process().memory_info().rss / 1e6
    np.ones(25_000_000)  # 200 MB, for a moment
    train(tmp_path)
    short, whole = rows(tmp_path)
    assert (short["epoch"], short["frames"], whole["frames"]) == ("1", "4", "20")
    assert all(np.isfinite(float(value)) for value in whole.values())
    assert {"val_accuracy", "windows_per_s", "data_wait_share"} <= set(whole)
    assert float(whole["peak_rss_mb"]) > before_mb + 190
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())


def test_training_ends_with_the_best_weights_and_stops_when_there_is_no_progress(
    train: Callable[..., Stan], tmp_path: Path, data: TrainingSet, input_spec: InputSpec, fabric: Fabric
) -> None:
    config = replace(CONFIG, epochs=12, short_epochs=0, patience=2, lr=0.05)  # too fast: it gets worse again
    model = train(tmp_path, config)
    losses = [float(row["val_loss"]) for row in rows(tmp_path)]
    assert len(losses) < 12
    assert losses[-3] == min(losses)
    loss, _ = evaluate_windows(fabric, model, data, input_spec, 20, 2, whole_clips=False)
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_a_folder_of_a_run_with_other_settings_is_refused(train: Callable[..., Stan], tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1)
    train(tmp_path, config)
    with pytest.raises(CheckpointError, match="belongs to a run with other settings"):
        train(tmp_path, replace(config, lr=3e-3))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"short_epochs": 3}, "short_epochs 3 must lie between 0 and epochs 2"),
        ({"short_epochs": -1}, "short_epochs -1"),
        ({"lr": 0.0}, "--lr 0 must be above 0"),
        ({"lr": float("nan")}, "--lr nan"),
        ({"batch": 5}, "--batch 5 must be a multiple of --micro-batch 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(CONFIG, **changes)


def test_processes_that_cannot_share_a_batch_are_refused() -> None:
    assert CONFIG.micros_each(2) == 1
    with pytest.raises(ConfigError, match="2 micro-batches cannot be shared by 3 processes"):
        CONFIG.micros_each(3)


def test_pixels_are_normalised_as_the_contract_says(input_spec: InputSpec) -> None:
    clips = torch.randint(0, 256, (2, 20, 8, 8, 3), dtype=torch.uint8)
    found = normalize(clips, input_spec)
    assert found.shape == (2, 3, 20, 8, 8)
    assert found[1, 2, 5, 3, 4].item() == pytest.approx((clips[1, 5, 3, 4, 2].item() / 255 - 0.45) / 0.225, rel=1e-5)


def test_union_trains_on_each_pass_and_late_on_their_mean(input_spec: InputSpec) -> None:
    def model(clips: torch.Tensor) -> torch.Tensor:
        return clips.mean((2, 3, 4))  # [B, 3]

    pictures = torch.randint(0, 256, (3, 2, 20, 8, 8, 3), dtype=torch.uint8)
    union, late = (input_spec.model_copy(update={"view": view}) for view in ("union", "late"))
    each = view_logits(model, pictures, union, train=True)
    mean = view_logits(model, pictures, late, train=True)
    assert each.shape == (6, 3)
    assert torch.allclose(each.reshape(3, 2, 3).mean(1), mean)
    assert torch.equal(view_logits(model, pictures, union, train=False), mean)
    assert torch.allclose(each[1], model(normalize(pictures[0, 1][None], union))[0])


def test_mean_recall_gives_every_class_present_the_same_weight() -> None:
    confusion = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert mean_recall(confusion) == pytest.approx((0.75 + 0.5) / 2)


def test_validation_is_the_mean_over_all_windows(
    tiny_model: Stan, cached: list[CachedClip], input_spec: InputSpec, fabric: Fabric
) -> None:
    classes = ("background", "falling", "headache", "chest_pain", "compensation")
    windows = thinned(candidate_windows(cached, CLASSES, input_spec), 2)
    data = TrainingSet(cached, windows, np.ones(len(windows)) / len(windows), classes)
    whole, confusion = evaluate_windows(fabric, tiny_model, data, input_spec, 20, 8, whole_clips=False)
    split, same = evaluate_windows(fabric, tiny_model, data, input_spec, 20, 3, whole_clips=False)
    assert split == pytest.approx(whole, rel=1e-5)
    assert np.array_equal(confusion, same)
    assert confusion.sum(1)[:2].tolist() == [4, 4]
