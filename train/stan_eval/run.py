"""What `stan-edge evaluate` does: bundles over held-out clips -> tables, a file for programs, and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.errors import ConfigError
from stan_edge.model.bundle import Bundle, methods_of, open_bundle
from stan_edge.model.contract import Method
from stan_eval.failures import draw_failures
from stan_eval.faithfulness.measure import WindowScores, faithfulness_figures, measure_faithfulness
from stan_eval.faithfulness.table import Figures, faithfulness_sentence, faithfulness_table
from stan_eval.measure import events, measure
from stan_eval.paper import data_notes, tables_of
from stan_eval.pictures import draw_figures
from stan_eval.predictions import ClipPrediction, Predictions, predict
from stan_eval.report import print_tables, to_csv, to_json, to_markdown
from stan_eval.result import Result
from stan_export.seal import seal
from stan_train.manifest import read_manifest
from stan_train.progress import counting, progress_bar

_WRITTEN = (
    *("results.json", "tables.md", "tables.csv", "timelines.png", "confusion.png", "precision_recall.png"),
    *("missed.png", "false_alarms.png"),
)


@dataclass(frozen=True)
class Fold:
    """A bundle and the clips that it was not trained on."""

    bundle: Path
    data: tuple[Path, ...]


def evaluate(
    folds: Sequence[Fold],
    out: Path,
    methods: Sequence[Method] | None,
    backend: str,
    command: str,
    *,
    pictures: bool,
    faithfulness: bool = False,
    into_card: bool = False,
) -> Result:
    """Measure, print and write `tables.md`, `tables.csv`, `results.json` and pictures into the folder `out`.

    Args:
        methods: attribution methods; None for all that the first bundle has.
        command: how to do it again, for the notes.
        pictures: also show frames of the recordings around what went wrong.
        faithfulness: also take frames away in the order of their importance; minutes.
        into_card: note the outcome of that in the card of the bundle.

    Raises:
        ConfigError: `out` cannot be written, the bundles do not belong together, or no clip could be read.
    """
    bundles = [open_bundle(fold.bundle) for fold in folds]
    _check_alike(bundles)
    wanted = tuple(methods or methods_of(bundles[0]))
    for bundle in bundles:
        for method in wanted:
            bundle.explain(method)  # refuses what it was not exported with
    clips = [tuple(clip for path in fold.data for clip in read_manifest(path)) for fold in folds]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _WRITTEN:  # what an earlier run left would be taken for this one's
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error}); choose another folder.") from error
    console, engine = Console(), open_backend(backend)
    found: list[Predictions] = []
    with progress_bar("clips", Console(stderr=True)) as on_clip:
        each = counting(on_clip, sum(map(len, clips)))
        for number, (bundle, fold_clips) in enumerate(zip(bundles, clips, strict=True)):
            found.append(predict(bundle, fold_clips, wanted, engine, each, number))
    refused = [one for predictions in found for one in predictions.refused]
    done = [one for predictions in found for one in predictions.done]
    for one in refused:
        console.print(f"left out: {one.clip.path}: {one.reason}", style="yellow", markup=False, highlight=False)
    if not done:
        raise ConfigError("No clip could be evaluated; the reasons are above.")
    contracts = [bundle.contract for bundle in bundles]
    pairs = [(contract, predictions.done) for contract, predictions in zip(contracts, found, strict=True)]
    result = measure(contracts[0].name, pairs, wanted)
    windows = result.classification.windows if result.classification else 0
    notes = (
        *(f"Model: {bundle.contract.name} {bundle.digest}, {engine.name} {engine.precision}." for bundle in bundles),
        *data_notes([one.clip for one in done], contracts[0].classes, windows, command),
        *([f"Left out because they could not be read: {len(refused)}."] if refused else []),
    )
    tables = tables_of([result], notes)
    if faithfulness:
        figures = _faithfulness(bundles, found, wanted, engine, console)
        if figures:
            tables += (faithfulness_table(figures, notes),)
            if into_card:
                _into_card(bundles[0], faithfulness_sentence(figures, wanted, _names(folds)))
        else:
            console.print("faithfulness: no window shows an activity and is recognised; nothing to take away from.")
    print_tables(console, tables)
    (out / "tables.md").write_text(to_markdown(tables), encoding="utf-8")
    (out / "tables.csv").write_text(to_csv(tables), encoding="utf-8")
    whole = {
        "command": command,
        "tables": to_json(tables),
        "confusion": _confusion(result),
        "clips": [_clip(one) for one in done],
        "refused": [{"path": str(one.clip.path), "reason": one.reason} for one in refused],
    }
    draw_figures(result, done, contracts, wanted[0], out)
    if pictures:
        draw_failures(done, contracts, out)
    # the last one written: where it is, the rest is whole
    (out / "results.json").write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    console.print(f"written: {out}", markup=False, highlight=False)
    return result


def _faithfulness(
    bundles: Sequence[Bundle],
    found: Sequence[Predictions],
    methods: Sequence[Method],
    engine: Backend,
    console: Console,
) -> Figures:
    """Each fold's windows against the controls; one network of random weights does for all."""
    from stan_eval.faithfulness.random_weights import randomised
    from stan_train.model import VARIANTS, variant

    contract = bundles[0].contract
    scores: list[WindowScores] = []
    with TemporaryDirectory() as scratch, progress_bar("faithfulness", Console(stderr=True)) as on_clip:
        each = counting(on_clip, sum(len(predictions.done) for predictions in found))
        control = None
        if contract.name in VARIANTS:
            control = randomised(bundles[0], variant(contract.name, len(contract.classes)), Path(scratch) / "random")
        else:
            console.print(f"faithfulness: {contract.name} is no STAN; no network of random weights beside it.")
        for number, (bundle, predictions) in enumerate(zip(bundles, found, strict=True)):
            clips = [one.clip for one in predictions.done]
            scores += measure_faithfulness(bundle, clips, methods, engine, control, each, number)
    return faithfulness_figures(scores)


def _into_card(bundle: Bundle, sentence: str) -> None:
    provenance = bundle.contract.provenance | {"faithfulness": sentence}
    seal(bundle.folder, bundle.contract.model_copy(update={"provenance": provenance}))


def _names(folds: Sequence[Fold]) -> str:
    return ", ".join(path.name for fold in folds for path in fold.data)


def _check_alike(bundles: Sequence[Bundle]) -> None:
    first = bundles[0].contract
    for bundle in bundles[1:]:
        contract = bundle.contract
        if (contract.classes, contract.background, contract.alarms) != (first.classes, first.background, first.alarms):
            raise ConfigError(
                f"{bundle.folder} has the classes {', '.join(contract.classes)}, {bundles[0].folder} has "
                f"{', '.join(first.classes)}; folds must be trained for the same classes and alarms."
            )


def _confusion(result: Result) -> dict[str, Any] | None:
    found = result.classification
    if found is None:
        return None
    return {"classes": list(found.classes), "shown_by_said": found.confusion.tolist()}


def _clip(one: ClipPrediction) -> dict[str, Any]:
    truth = events(one)
    return {
        "path": str(one.clip.path),
        "label": one.clip.label,
        "group": one.clip.group,
        "fold": one.fold,
        "windows": len(one.seen.valid),
        "valid": int(one.seen.valid.sum()),
        "intervals": [
            {"start_s": round(start_s, 3), "end_s": round(end_s, 3), "found": truth.found((start_s, end_s)) is not None}
            for start_s, end_s in truth.important_s
        ],
        "events": [
            {
                "label": alarm.label,
                "start_s": round(alarm.t_start_s, 3),
                "end_s": round(alarm.t_end_s, 3),
                "announced_s": round(alarm.announced_s, 3),
                "peak_probability": round(alarm.peak_probability, 4),
                "false": truth.is_false(alarm),
            }
            for alarm in truth.alarms
        ],
    }
