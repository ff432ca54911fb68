"""From a bundle and a manifest to tables: what is measured is what runs, and one bad clip costs only itself."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from stan_edge.backends.base import Backend
from stan_edge.cli.app import app
from stan_edge.errors import ConfigError
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_edge.sources import open_source
from stan_eval.failures import missed
from stan_eval.predictions import predict
from stan_eval.run import Fold, evaluate
from stan_train.manifest import Clip, write_manifest
from tests.conftest import Kept, MakeClip


@pytest.fixture(scope="module")
def clips(make_clip: MakeClip, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Light goes on (`falling`) from 2 to 4 s of 6; a dark clip; one whose light is called headache."""
    folder, lit, marks = tmp_path_factory.mktemp("clips"), [60] * 20 + [190] * 20 + [60] * 20, ((20, 40),)
    return [
        make_clip(folder / "falling.mp4", lit, "falling", important=marks, ignored=((40, 45),)),
        make_clip(folder / "background.mp4", [60] * 60),
        make_clip(folder / "headache.mp4", lit, "headache", important=marks, ignored=((40, 45),)),
    ]


def test_events_and_timeline_are_those_of_the_runtime(
    clips: list[Clip], tiny_bundle: Bundle, backend: Backend, explainer: Explainer
) -> None:
    for clip, found in zip(clips, predict(tiny_bundle, clips, ("vanilla",), backend, lambda: None).done, strict=True):
        sink = Kept()
        Runtime(tiny_bundle, backend, explainer).watch([CameraSpec(open_source(str(clip.path)), None, [sink])])
        assert [(e.label, e.t_start_s, e.t_end_s, e.peak_probability) for e in sink.events] == [
            (a.label, a.t_start_s, a.t_end_s, a.peak_probability) for a in found.alarms
        ]
        assert list(found.timeline) == sink.frames
        assert bool(found.alarms) == (clip.label != "background")
        assert all(0.0 < alarm.announced_s <= 6.0 for alarm in found.alarms)


def test_tables_and_pictures_are_written_and_a_bad_clip_costs_only_itself(
    clips: list[Clip], tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"no video" * 100)
    short = clips[0].path.parent / "cut.mp4"
    short.write_bytes(clips[0].path.read_bytes()[:300])
    lost = [
        replace(clips[0], path=damaged),
        replace(clips[0], path=tmp_path / "gone.mp4"),
        replace(clips[0], path=short),
        replace(clips[0], region="sidecar"),
    ]
    manifest, out = tmp_path / "clips.csv", tmp_path / "out"
    write_manifest(manifest, [clips[0], *lost, *clips[1:]])
    folds = [Fold(tiny_bundle.folder, (manifest,))]
    result = evaluate(folds, out, ("vanilla", "staa"), "onnxruntime", "stan-edge evaluate ...", pictures=True)
    said = capsys.readouterr().out
    unwrapped = said.replace("\n", "")
    for clip in lost:
        assert f"left out: {clip.path}:" in unwrapped
    written = {path.name for path in out.iterdir()}
    assert written >= {"tables.md", "tables.csv", "results.json", "confusion.png", "precision_recall.png"}
    assert written >= {"timelines.png", "missed.png", "false_alarms.png"}
    whole = json.loads((out / "results.json").read_text())
    assert [Path(clip["path"]).name for clip in whole["clips"]] == ["falling.mp4", "background.mp4", "headache.mp4"]
    assert len(whole["refused"]) == 4
    assert whole["clips"][0]["intervals"][0]["found"] is True
    assert whole["clips"][2]["events"][0]["false"] is True  # it says falling where headache is marked
    assert np.array(whole["confusion"]["shown_by_said"]).shape == (5, 5)
    with (out / "tables.csv").open() as file:
        cells = {(line["column"], line["row"]): line["text"] for line in csv.DictReader(file)}
    assert cells["found", "tiny, blend: falling"] == "1 of 1"
    assert cells["false alarms", "tiny, blend: falling"] == "1"
    assert result.classification is not None
    assert result.classification.f1["headache"].value == 0.0
    assert result.short["vanilla"].by_activity["falling"].share == pytest.approx(_share(), abs=0.02)
    assert "could not be read: 4" in (out / "tables.md").read_text()


def _share() -> float:
    """Important among the counted frames of the windows that start every 0.2 s and hold a quarter of them."""
    counted = important = 0
    for start in range(0, 41, 2):
        window = np.arange(start, start + 20)
        lit = (window >= 20) & (window < 40)
        if lit.sum() >= 5:
            important += int(lit.sum())
            counted += int(((window < 40) | (window >= 45)).sum())
    return important / counted


def test_folds_are_pooled(clips: list[Clip], tiny_bundle: Bundle, tmp_path: Path) -> None:
    folds = []
    for number in range(3):
        manifest = tmp_path / f"fold{number}.csv"
        write_manifest(manifest, [replace(clip, group=f"{number}") for clip in clips])
        folds.append(Fold(tiny_bundle.folder, (manifest,)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "missed.png").write_bytes(b"of an earlier run")
    result = evaluate(folds, tmp_path / "out", ("staa",), "onnxruntime", "again", pictures=False)
    assert result.events is not None
    assert (result.events.by_alarm["falling"].found, result.events.by_alarm["falling"].events) == (3, 3)
    assert result.classification is not None
    assert result.classification.groups == 3
    assert not (tmp_path / "out" / "missed.png").exists()


def test_what_was_missed_is_told_by_the_figures_of_its_own_fold(
    clips: list[Clip], tiny_bundle: Bundle, backend: Backend
) -> None:
    contract = tiny_bundle.contract
    other = contract.model_copy(
        update={
            "events": {
                name: spec.model_copy(update={"enter": 0.93, "leave": 0.1}) for name, spec in contract.events.items()
            }
        }
    )
    done = predict(tiny_bundle, clips[2:], ("vanilla",), backend, lambda: None, fold=1).done
    (failure,) = missed(done, [contract, other])
    assert "headache 2.0-4.0 s missed" in failure.caption
    assert "(an event starts at 0.93)" in failure.caption


def test_nothing_that_can_be_read_is_an_error(clips: list[Clip], tiny_bundle: Bundle, tmp_path: Path) -> None:
    manifest = tmp_path / "clips.csv"
    write_manifest(manifest, [replace(clips[0], path=tmp_path / "gone.mp4")])
    with pytest.raises(ConfigError, match="No clip could be evaluated"):
        evaluate([Fold(tiny_bundle.folder, (manifest,))], tmp_path / "out", None, "onnxruntime", "", pictures=False)
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_command_needs_no_torch(clips: list[Clip], tiny_bundle: Bundle, tmp_path: Path) -> None:
    manifest, out = tmp_path / "clips.csv", tmp_path / "out"
    write_manifest(manifest, clips[:1])
    code = (
        "import sys; from stan_edge.cli.app import app\n"
        "app(standalone_mode=False)\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    asked = ["evaluate", tiny_bundle.folder, "--data", manifest, "-o", out, "--methods", "vanilla"]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, asked)], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Table 5" in ran.stdout
    assert (out / "results.json").is_file()
    assert not (out / "missed.png").exists()


def test_importing_what_measures_bundles_and_all_verbs_loads_nothing_heavy() -> None:
    code = (
        "import sys, stan_eval.run, stan_eval.calibration.calibrate\n"
        "import stan_eval.cli.calibrate, stan_eval.cli.evaluate, stan_eval.cli.tables\n"
        "print({'torch', 'sklearn', 'matplotlib', 'onnx'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("set()\n", "")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ([], "Say what to evaluate"),
        (["BUNDLE"], "Say what to evaluate"),
        (["BUNDLE", "--data", "a.csv", "--fold", "b=c.csv"], "--fold names bundles and manifests itself"),
        (["--fold", "bundle"], "must be BUNDLE=MANIFEST"),
    ],
)
def test_what_does_not_make_sense_is_refused(asked: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        CliRunner().invoke(app, ["evaluate", "-o", "out", *asked], catch_exceptions=False)
