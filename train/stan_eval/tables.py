"""The paper's whole grid in one unattended run: models x views x methods, on short and on long sequences.

Clips are synthetic, so that the labels are exact. Clips, features, networks and finished rows are kept in the run
folder and not made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import methods_of, open_bundle
from stan_edge.model.contract import InputSpec, View
from stan_eval.baseline_features import BaselineView, ClipFeatures, clip_features
from stan_eval.baseline_results import BaselineData, baseline_result
from stan_eval.calibration.calibrate import calibrate
from stan_eval.measure import measure
from stan_eval.paper import data_notes, tables_of
from stan_eval.predictions import predict
from stan_eval.report import Table, print_tables, to_csv, to_json, to_markdown
from stan_eval.result import Result
from stan_eval.steps import Steps
from stan_export.export import export
from stan_export.seal import seal
from stan_train.augment import AugmentConfig
from stan_train.baselines.network import Kind
from stan_train.baselines.resnet import load_resnet50
from stan_train.manifest import Clip, read_manifest, write_manifest
from stan_train.options import DataOptions, FitConfig, MachineOptions, ModelOptions
from stan_train.progress import counting, progress_bar
from stan_train.synthetic import ACTIVITIES
from stan_train.synthetic.dataset import SynthOptions, synthesise
from stan_train.train import train

KINDS: tuple[Kind, ...] = ("fcl", "cnn", "lstm")
BASELINE_VIEWS: tuple[BaselineView, ...] = ("global", "local", "global+local")
STAN_VIEWS: tuple[View, ...] = ("global", "local", "blend")
LONG_S, LONG_FPS = 394 / 30, 30.0
"""The paper's long sequences have 394 frames."""
HOP_S = 0.4
FEATURE_PX = 112
_COSTS_S = 0.009, 0.03, 0.45, 0.2, 0.5
"""A frame rendered; its features; a training clip of a CNN row; a window trained on; a window explained every way."""


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """How large the grid's data are; clips show the activities in turn."""

    train_clips: int = 200
    short_clips: int = 40
    long_clips: int = 8
    calibration_clips: int = 30
    epochs: int = 3
    epoch_windows: int = 480
    seed: int = 5_000_000
    init: Path | None = None
    """Weights that STAN starts from."""
    resnet: Path | None = None
    """Weights of ResNet-50; random without."""
    workers: int = 2


def tables(out: Path, options: GridOptions, command: str) -> tuple[Result, ...]:
    """Run the grid, print its tables and write `tables.md`, `tables.csv` and `results.json` into `out`.

    Raises:
        ConfigError: `out` holds a grid with other options.
    """
    console = Console()
    _claim(out, options)
    _estimate(console, options)
    steps = Steps(out / "rows.pickle", console)
    parts = steps.prepare("rendering clips", lambda: _render(out / "clips", options, console))
    data = steps.prepare("features of ResNet-50", lambda: _features(parts, out / "features", options, console))
    backend = open_backend()
    for view in STAN_VIEWS:
        steps.row(f"STAN {view}", partial(_stan, out / f"stan-{view}", view, parts, options, backend, console))
        _write(out, steps, parts, options, command)
    for kind in KINDS:
        for baseline_view in BASELINE_VIEWS:
            name = f"{kind.upper()} {baseline_view}"
            steps.row(name, partial(baseline_result, kind, baseline_view, data, options.seed))
            _write(out, steps, parts, options, command)
    print_tables(console, _write(out, steps, parts, options, command))
    console.print(f"written: {out}", markup=False, highlight=False)
    return steps.results


def _write(
    out: Path, steps: Steps, parts: dict[str, tuple[Clip, ...]], options: GridOptions, command: str
) -> tuple[Table, ...]:
    """Write the tables of what is done so far, so that a killed run has shown something."""
    results, total = steps.results, len(STAN_VIEWS) + len(KINDS) * len(BASELINE_VIEWS)
    start = "from random weights"
    if options.init is not None:
        start = f"started from {options.init.name}, which has seen further clips that the baselines have not"
    notes = (
        f"STAN: stan-t, {options.epochs} epochs of {options.epoch_windows} windows on {options.train_clips} clips, "
        f"{start}; framed around the person. Baselines: the same clips, features of "
        f"{'a random' if options.resnet is None else options.resnet.name} ResNet-50 at {FEATURE_PX} px of the whole "
        "picture and of the person's region. So rows compare what is at hand, not architectures. Long sequences: "
        f"{options.long_clips} clips of 394 frames. Blend is the paper's global+local.",
        f"{len(results)} of {total} rows in {steps.minutes:.0f} minutes on {os.cpu_count()} cores.",
        *data_notes([*parts["short"], *parts["long"]], ACTIVITIES, _windows(results), command),
    )
    found = tables_of(results, notes)
    (out / "tables.md").write_text(to_markdown(found), encoding="utf-8")
    (out / "tables.csv").write_text(to_csv(found), encoding="utf-8")
    whole = {"command": command, "options": asdict(options), "tables": to_json(found)}
    (out / "results.json").write_text(json.dumps(whole, indent=1, default=str) + "\n", encoding="utf-8")
    return found


def _estimate(console: Console, options: GridOptions) -> None:
    """Say how long all of it may take; seconds on two cores that do nothing else, measured once."""
    rendered_frame_s, feature_s, cnn_s, trained_s, explained_s = _COSTS_S
    short, long = 60 * options.short_clips, round(LONG_S * LONG_FPS) * options.long_clips
    frames = 60 * options.train_clips + short + long
    windows = 11 * (options.short_clips + options.calibration_clips) + 29 * options.long_clips
    stan_s = options.epochs * options.epoch_windows * trained_s + windows * explained_s
    total_s = frames * (rendered_frame_s + feature_s) + 3 * options.train_clips * cnn_s + 3 * stan_s
    console.print(f"This takes about {total_s / 60:.0f} minutes on two cores; a killed run goes on.")


def _claim(out: Path, options: GridOptions) -> None:
    out.mkdir(parents=True, exist_ok=True)
    note = out / "options.json"
    wanted = json.dumps(asdict(replace(options, workers=1)), default=str, indent=2) + "\n"
    if note.is_file() and note.read_text(encoding="utf-8") != wanted:
        raise ConfigError(f"{out} holds a grid with other options (options.json); choose another --out.")
    note.write_text(wanted, encoding="utf-8")


def _render(folder: Path, options: GridOptions, console: Console) -> dict[str, tuple[Clip, ...]]:
    """Manifests `train`, `short`, `long` and `calibration`; the last are some of `train`, by whole turns of classes."""
    wanted = {
        "train": SynthOptions(clips=options.train_clips, seed=options.seed),
        "short": SynthOptions(clips=options.short_clips, seed=options.seed + 1),
        "long": SynthOptions(
            clips=options.long_clips,
            seed=options.seed + 2,
            duration_s=LONG_S,
            fps=LONG_FPS,
            activities=ACTIVITIES[1:],
        ),
    }
    parts = {}
    for name, what in wanted.items():
        with progress_bar(f"{name} clips", console) as on_clip:
            parts[name] = read_manifest(synthesise(folder / name, what, options.workers, on_clip))
    some = sorted(parts["train"], key=lambda clip: clip.group)[: options.calibration_clips]
    write_manifest(folder / "calibration.csv", some)
    return parts | {"calibration": tuple(some)}


def _features(parts: dict[str, tuple[Clip, ...]], folder: Path, options: GridOptions, console: Console) -> BaselineData:
    folder.mkdir(exist_ok=True)
    resnet = load_resnet50(options.resnet)
    total = sum(len(parts[name]) for name in ("train", "short", "long"))
    found: dict[str, list[ClipFeatures]] = {}
    with progress_bar("features", console) as on_clip:
        done = 0
        for name in ("train", "short", "long"):
            for clip in parts[name]:
                found.setdefault(name, []).append(clip_features(clip, resnet, FEATURE_PX, folder))
                done += 1
                on_clip(done, total)
    spec = InputSpec(
        frames=20, window_s=2.0, size_px=FEATURE_PX, view="global", framing="letterbox", region="box", mean=0.0, std=1.0
    )
    return BaselineData(
        train=found["train"],
        short=found["short"],
        long=found["long"],
        classes=ACTIVITIES,
        spec=spec,
        hop_s=HOP_S,
    )


def _stan(
    home: Path, view: View, parts: dict[str, tuple[Clip, ...]], options: GridOptions, backend: Backend, console: Console
) -> Result:
    clips = home.parent / "clips"
    if not (home / "checkpoint.safetensors").is_file():
        train(
            home,
            DataOptions(data=(clips / "train" / "manifest.csv",), val_share=0.15, draw=0),
            ModelOptions(
                model="stan-t",
                init=options.init,
                size_px=112,
                window_s=2.0,
                view=view,
                region="box",
                background_share=0.3,
            ),
            FitConfig(
                epochs=options.epochs,
                epoch_windows=options.epoch_windows,
                batch=32,
                short_epochs=0 if options.init else options.epochs // 3,
                seed=options.seed,
            ),
            AugmentConfig(flip=("background", "falling")),
            MachineOptions(workers=options.workers, cache=home.parent / "cache"),
        )
    bundle = home / "bundle"
    if not bundle.is_dir():
        # the real calibration follows; the export's first one would explain its windows for nothing
        (home / "calibration.npz").unlink(missing_ok=True)
        export(home / "checkpoint.safetensors", bundle, None)
    opened = open_bundle(bundle)
    if opened.contract.hop_s != HOP_S:
        seal(bundle, opened.contract.model_copy(update={"hop_s": HOP_S}))
        opened = open_bundle(bundle)
    methods = methods_of(opened)
    if opened.contract.calibration is None:
        calibrate(bundle, clips / "calibration.csv", bundle, methods, 60.0, backend)
        opened = open_bundle(bundle)
    found = {}
    for name in ("short", "long"):
        with progress_bar(f"{name} sequences", console) as on_clip:
            each = counting(on_clip, len(parts[name]))
            seen = predict(opened, parts[name], methods, backend, each, copied=name == "long")
        found[name] = measure("STAN", [(opened.contract, seen.done)], methods)
    return replace(found["short"], long=found["long"].long, copied=found["long"].copied)


def _windows(results: Sequence[Result]) -> int:
    return max(result.classification.windows for result in results if result.classification)
