"""The paper's CNN on recordings: trained on some manifests, measured on another, with `stan-edge evaluate`'s tables.

    python bench/cnn.py --train TRAIN.csv [--train ...] --test TEST.csv --features runs/features [--out FILE.md]

Features are those of a ResNet-50 with random weights unless `--resnet` gives others.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stan_edge.model.contract import InputSpec
from stan_eval.baseline_features import BaselineView, ClipFeatures, clip_features
from stan_eval.baseline_results import BaselineData, baseline_result
from stan_eval.paper import data_notes, tables_of
from stan_eval.report import to_markdown
from stan_train.baselines.resnet import load_resnet50
from stan_train.manifest import BACKGROUND, read_manifest

VIEWS: tuple[BaselineView, ...] = ("global", "local", "global+local")
SPEC = InputSpec(
    frames=20, window_s=2.0, size_px=112, view="global", framing="letterbox", region="box", mean=0.0, std=1.0
)
HOP_S = 0.2


def main(
    train: Annotated[list[Path], typer.Option()],
    test: Annotated[Path, typer.Option()],
    features: Annotated[Path, typer.Option(help="Folder that keeps the features.")],
    resnet: Annotated[Path | None, typer.Option(help="Weights with torchvision's names.")] = None,
    seeds: Annotated[int, typer.Option(help="Networks trained for each view.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    features.mkdir(parents=True, exist_ok=True)
    network = load_resnet50(resnet)

    def featured(path: Path) -> list[ClipFeatures]:
        return [clip_features(clip, network, SPEC.size_px, features) for clip in read_manifest(path)]

    tested = featured(test)
    shown = {one.clip.label for one in tested}
    trained = [one for path in train for one in featured(path) if one.clip.label in shown | {BACKGROUND}]
    classes = (BACKGROUND, *sorted(shown - {BACKGROUND}))
    data = BaselineData(train=trained, short=tested, long=tested, classes=classes, spec=SPEC, hop_s=HOP_S)
    results = []
    for view in VIEWS:
        for seed in range(seeds):
            found = baseline_result("cnn", view, data, seed)
            results.append(replace(found, model=f"{found.model}, seed {seed}"))
    windows = max(result.classification.windows for result in results if result.classification)
    notes = (
        f"Trained on {', '.join(path.name for path in train)} ({len(trained)} clips of {', '.join(classes)}); "
        f"ResNet-50: {'random weights' if resnet is None else resnet.name}, {SPEC.size_px} px.",
        *data_notes([one.clip for one in tested], classes, windows, shlex.join(["python", *sys.argv])),
    )
    text = to_markdown(tables_of(results, notes))
    print(text)
    if out:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
