"""Calibration on clips: dark rooms in which the light goes on are `falling` to the tiny model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from stan_edge.cli.app import app
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle, open_bundle
from stan_edge.model.contract import Contract, Method
from stan_eval.calibration.alarm_thresholds import Track, choose
from stan_eval.calibration.calibrate import check_clips
from stan_eval.calibration.choices import data_digest
from stan_eval.calibration.report import limits
from stan_export.seal import seal
from stan_train.manifest import Clip, write_manifest
from tests.e2e.conftest import write_video

METHODS: tuple[Method, ...] = ("vanilla", "streaming", "staa")


@pytest.fixture(scope="module")
def drawn(noisy: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """A dark clip, two in which the light goes on for 2 s, and a dark one for each other class."""
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for number, label in enumerate(("background", "falling", "falling", "headache", "chest_pain", "compensation")):
        middle = 190 if label == "falling" else 60
        pictures = np.concatenate(
            [noisy(count, level, number + seed) for count, level, seed in ((10, 60, 0), (20, middle, 0), (12, 60, 9))]
        )
        path = write_video(folder / f"{number}.mkv", list(pictures))
        clips.append(
            Clip(
                path=path, dataset="drawn", label=label, subject=str(number), group=str(number), camera="0", fps=10.0,
                frames=42, width_px=64, height_px=64, important=() if label == "background" else ((10, 30),),
                ignored=(), region="none", crop=None,
            )
        )  # fmt: skip
    return tuple(clips)


@pytest.fixture(scope="module")
def manifest(drawn: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifest") / "drawn.csv"
    write_manifest(path, drawn)
    return path


def calibrate(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, args), "--backend", "onnxruntime", "--threads", "1"])


@pytest.fixture(scope="module")
def quick_bundle(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle without its slow methods: SmoothGrad takes eight times as long as all the others."""
    folder = Path(shutil.copytree(tiny_bundle.folder, tmp_path_factory.mktemp("quick") / "bundle"))
    methods = {name: tiny_bundle.contract.methods[name] for name in METHODS}
    seal(folder, tiny_bundle.contract.model_copy(update={"methods": methods}))
    return open_bundle(folder)


@pytest.fixture(scope="module")
def calibrated(quick_bundle: Bundle, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Contract, str]:
    out = tmp_path_factory.mktemp("calibrated") / "bundle"
    ran = calibrate(quick_bundle.folder, "--data", manifest, "--out", out)
    assert ran.exit_code == 0, ran.output
    return open_bundle(out).contract, ran.output


def test_the_contract_says_what_it_was_calibrated_on(calibrated: tuple[Contract, str], drawn: tuple[Clip, ...]) -> None:
    record = calibrated[0].calibration
    assert record is not None
    assert (record.data, record.clips, record.false_alarms_per_hour_target) == ("drawn.csv", 6, 1.0)
    assert record.minutes == pytest.approx(6 * 4.2 / 60, abs=0.02)
    assert 0 < record.windows <= 6 * 12
    assert record.data_sha256 == data_digest(drawn)
    assert record.nll_after <= record.nll_before
    falling = record.figures["falling"]
    assert (falling["events"], falling["found"], falling["false_alarms"]) == (2, 2, 0)
    # four clips without it, and what lies outside of 0.5 to 3.5 s in two
    assert falling["negative_minutes"] == pytest.approx((4 * 4.2 + 2 * 1.2) / 60, abs=0.02)


def test_everything_that_calibration_chooses_is_in_the_contract(
    calibrated: tuple[Contract, str], quick_bundle: Bundle
) -> None:
    new, old = calibrated[0], quick_bundle.contract
    assert new.temperature != old.temperature
    assert set(new.events) == set(new.alarms)
    assert set(new.methods) == set(METHODS)
    for method, spec in new.methods.items():
        assert spec.scale is not None
        assert spec != old.methods[method]
        assert "where it was chosen" in new.provenance[f"calibration_{method}"]
    assert new.classes == old.classes
    assert new.input == old.input
    assert new.provenance["data"] == old.provenance["data"]


def test_the_report_shows_what_was_chosen_and_what_so_few_clips_cannot_say(calibrated: tuple[Contract, str]) -> None:
    text = " ".join(calibrated[1].split())
    assert "temperature" in text
    assert "2 of 2" in text
    assert "falling: with 0.3 minutes without it, no rate below 187.5 an hour can be told apart from zero." in text


def test_a_calibrated_bundle_runs(bundle_copy: Path, manifest: Path, drawn: tuple[Clip, ...], tmp_path: Path) -> None:
    before = open_bundle(bundle_copy)
    ran = calibrate(bundle_copy, "--data", manifest, "--methods", "vanilla")
    assert ran.exit_code == 0, ran.output
    assert "staa: kept as it was" in " ".join(ran.output.split())
    after = open_bundle(bundle_copy)
    assert after.digest != before.digest
    assert after.contract.methods["staa"] == before.contract.methods["staa"]
    assert sorted(path.name for path in bundle_copy.iterdir()) == sorted(path.name for path in before.folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    seen = CliRunner().invoke(
        app,
        ["run", str(drawn[1].path), "--model", str(bundle_copy), "--no-person", "--json", "--backend", "onnxruntime"],
    )
    assert seen.exit_code == 0, seen.output
    records = [json.loads(line) for line in seen.stdout.splitlines()]
    assert "falling" in {row["label"] for row in records if row["type"] == "event"}


def test_a_manifest_without_a_class_is_refused_and_names_it(drawn: tuple[Clip, ...], tiny_bundle: Bundle) -> None:
    few = [clip for clip in drawn if clip.label not in ("headache", "background")]
    with pytest.raises(ConfigError, match=r"room\.csv holds no clip of background, headache; "):
        check_clips(Path("room.csv"), few, tiny_bundle.contract)


def test_a_class_that_the_model_does_not_know_is_refused(drawn: tuple[Clip, ...], tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"shows 'waving', which is not one of the classes of tiny"):
        check_clips(Path("room.csv"), [*drawn, replace(drawn[0], label="waving")], tiny_bundle.contract)


def test_a_clip_that_is_not_there_is_refused_before_anything_runs(drawn: tuple[Clip, ...], tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=r"gone\.mp4 does not exist"):
        check_clips(Path("room.csv"), [*drawn, replace(drawn[0], path=Path("gone.mp4"))], tiny_bundle.contract)


def test_a_clip_that_cannot_be_read_is_named_and_left_out(
    drawn: tuple[Clip, ...], bundle_copy: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"not a video")
    manifest = tmp_path / "some.csv"
    write_manifest(manifest, [replace(drawn[1], path=broken), *drawn])
    ran = calibrate(bundle_copy, "--data", manifest, "--methods", "staa")
    assert ran.exit_code == 0, ran.output
    assert f"left out: {broken}: " in ran.output.replace("\n", "")
    record = open_bundle(bundle_copy).contract.calibration
    assert record is not None
    assert record.clips == len(drawn)


def test_a_folder_that_exists_is_not_overwritten(bundle_copy: Path, manifest: Path, tmp_path: Path) -> None:
    ran = calibrate(bundle_copy, "--data", manifest, "--out", tmp_path)
    assert isinstance(ran.exception, ConfigError)
    assert "exists already" in str(ran.exception)


def test_an_output_that_cannot_be_written_is_refused(bundle_copy: Path, manifest: Path, tmp_path: Path) -> None:
    ran = calibrate(bundle_copy, "--data", manifest, "--out", tmp_path / "no" / "where")
    assert "does not exist" in str(ran.exception)


def test_the_digest_of_the_data_changes_with_labels_intervals_and_files_but_not_with_order(
    drawn: tuple[Clip, ...],
) -> None:
    digest = data_digest(drawn)
    assert data_digest(drawn[::-1]) == digest
    for changed in (
        replace(drawn[1], label="headache"),
        replace(drawn[1], important=((10, 31),)),
        replace(drawn[1], important=None),
        replace(drawn[1], ignored=((1, 2),)),
        replace(drawn[1], path=drawn[0].path),
    ):
        assert data_digest([drawn[0], changed, *drawn[2:]]) != digest


def test_a_rate_that_no_setting_keeps_is_said_plainly() -> None:
    start_s = np.arange(300) * 0.2
    always = Track(np.ones(300), start_s, start_s + 2, [], [])
    said = limits("falling", choose([always], 0.2, 1.0), 1.0)
    assert said[0].startswith("falling: no setting keeps 1 false alarms an hour on these clips")
    assert any("no event is marked" in sentence for sentence in said)
