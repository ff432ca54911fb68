"""`stan-edge train` on manifests: several processes, folds, weak labels, other views, data that do not fit."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from stan_edge.model.bundle import open_bundle
from stan_train.checkpoint import load_checkpoint
from stan_train.manifest import read_manifest, write_manifest
from tests.conftest import MakeClip

QUICK = (
    "--size",
    "32",
    "--epochs",
    "2",
    "--epoch-windows",
    "8",
    "--batch",
    "4",
    "--micro-batch",
    "2",
    "--workers",
    "1",
)


@pytest.fixture(scope="module")
def manifest(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, each in the dark and with the light going on."""
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for person in range(3):
        group = f"person-{person}"
        clips.append(make_clip(folder / f"dark{person}.mp4", [60] * (24 + person), group=group))
        lit = [60] * 8 + [190] * (16 + person)
        clips.append(make_clip(folder / f"lit{person}.mp4", lit, "falling", important=((8, 24 + person),), group=group))
    path = folder / "manifest.csv"
    write_manifest(path, clips)
    return path


def losses(folder: Path) -> list[tuple[float, float]]:
    with (folder / "metrics.csv").open() as file:
        return [(float(row["train_loss"]), float(row["val_loss"])) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(stan_edge, manifest, tmp_path):
    command = ("train", "--data", manifest, *QUICK)
    one = stan_edge(*command, "-o", tmp_path / "one", timeout_s=300)
    assert one.returncode == 0, one.stderr
    two = stan_edge(*command, "-o", tmp_path / "two", "--devices", "2", timeout_s=300)
    assert two.returncode == 0, two.stderr
    for (train, val), (train_two, val_two) in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        assert train_two == pytest.approx(train, rel=1e-4)
        assert val_two == pytest.approx(val, rel=1e-3)
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node=2", "--no-python"]
    edge = str(Path(sys.executable).with_name("stan-edge"))
    arguments = [*map(str, command), "-o", str(tmp_path / "three"), "--devices", "2"]
    three = subprocess.run([*torchrun, edge, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert three.returncode == 0, three.stderr
    assert losses(tmp_path / "three") == losses(tmp_path / "two")


@pytest.mark.slow
def test_a_fold_leaves_its_person_out_and_a_two_pass_bundle_runs(stan_edge, manifest, tmp_path):
    run = tmp_path / "run"
    trained = stan_edge(
        *("train", "-o", run, "--data", manifest, "--folds", "subjects", "--fold", "2", "--view", "late", *QUICK),
        *("--val-share", "0.5"),
        timeout_s=300,
    )
    assert trained.returncode == 0, trained.stderr
    people = {name: {clip.subject for clip in read_manifest(run / f"{name}.csv")} for name in ("train", "val", "test")}
    assert people["test"] == {"person-1"}
    assert people["train"] | people["val"] == {"person-0", "person-2"}
    assert not people["train"] & people["val"]
    assert load_checkpoint(run / "checkpoint.safetensors").classes == ("background", "falling")
    exported = stan_edge("export", run / "checkpoint.safetensors", "-o", tmp_path / "bundle", timeout_s=300)
    assert exported.returncode == 0, exported.stderr
    assert open_bundle(tmp_path / "bundle").contract.input.view == "late"
    clip = read_manifest(manifest)[0].path
    seen = stan_edge("run", clip, "--json", "--no-person", "--model", tmp_path / "bundle")
    assert seen.returncode == 0, seen.stderr


@pytest.mark.slow
def test_weak_labels_are_sampled_as_whole_clips(stan_edge, manifest, tmp_path):
    run = tmp_path / "run"
    trained = stan_edge("train", "-o", run, "--data", manifest, "--whole-clips", *QUICK, timeout_s=300)
    assert trained.returncode == 0, trained.stderr
    spec = load_checkpoint(run / "checkpoint.safetensors").input
    assert 2.4 <= spec.window_s <= 2.6  # the median length of the clips that are trained on


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--folds", "some"), "--folds 'some' is not none, subjects, ntu or a number"),
        (("--folds", "9"), "too few for 9 folds; ask for at most 3"),
        (("--folds", "subjects", "--fold", "4"), "--fold 4: there are folds 1 to 3"),
        (("--folds", "ntu"), "is none of NTU's P001 to P040"),
        (("--batch", "5"), "--batch 5 must be a multiple of --micro-batch 2"),
        (("--val", "none.csv"), "cannot be read"),
        (("--size", "40"), "--size 40 must be a multiple of 16"),
        (("--window", "0"), "--window 0 must be at least 0.1"),
        (("--precision", "16-mixed"), "--precision: '16-mixed' is not one of auto, 32-true, bf16-mixed"),
        (("--devices", "3"), "2 micro-batches cannot be shared by 3 processes"),
        (("--lr", "-1"), "--lr -1 must be above 0"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(refused, manifest, tmp_path, options, says):
    assert says in refused("train", "-o", tmp_path / "run", "--data", manifest, *QUICK, *options)
    assert not (tmp_path / "run" / "cache").exists()


def test_the_installed_command_says_what_does_not_fit(stan_edge, manifest, tmp_path):
    ran = stan_edge("train", "-o", tmp_path / "run", "--data", manifest, "--view", "sideways")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "--view: 'sideways' is not one of global, local, blend, union, late" in ran.stderr


@pytest.mark.parametrize("option", [("--val", "val.csv"), ("--folds", "subjects")])
def test_options_about_clips_of_ones_own_are_refused_where_clips_are_drawn(refused, tmp_path, option):
    assert f"{option[0]} is about clips of your own" in refused("train", "-o", tmp_path / "run", *option)


def test_a_class_of_one_person_cannot_be_left_out(refused, manifest, tmp_path):
    clips = [clip for clip in read_manifest(manifest) if clip.label == "background" or clip.subject == "person-1"]
    write_manifest(tmp_path / "alone.csv", clips)
    said = refused("train", "-o", tmp_path / "run", "--data", tmp_path / "alone.csv", "--folds", "subjects", *QUICK)
    assert "Only subject 'person-1' shows class 'falling'" in said


@pytest.mark.slow
def test_broken_clips_are_named_and_a_run_goes_on_with_its_own_clips_only(
    stan_edge, refused, make_clip, manifest, tmp_path
):
    broken = make_clip(tmp_path / "broken.mp4", [60] * 24, group="person-0")
    broken.path.write_bytes(b"not a video")
    others, some = tmp_path / "val.csv", tmp_path / "some.csv"
    write_manifest(others, [clip for clip in read_manifest(manifest) if clip.subject == "person-2"])
    whole = [clip for clip in read_manifest(manifest) if clip.subject != "person-2"]
    write_manifest(some, [*whole, broken])
    command = ("train", "-o", tmp_path / "run", "--data", some, "--val", others, *QUICK)
    trained = stan_edge(*command, timeout_s=300)
    assert trained.returncode == 0, trained.stderr
    assert "broken.mp4" in trained.stdout
    assert "1 left out" in trained.stdout
    provenance = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").provenance
    assert provenance["data"] == "test background 2; test falling 2 (clips)"
    again = stan_edge(*command, timeout_s=300)
    assert again.returncode == 0, again.stderr
    write_manifest(some, whole)
    assert "run holds a run on other clips (train.csv); choose another --out" in refused(*command)
