"""Do signs that touch the chest or the forehead separate from each other and from other signs?

    python bench/gestures.py PATH_TO_ASL_GESTURES [--model BUNDLE] [--out bench/results/gestures.md]

A proxy: nobody there has pain. `please` and `sorry` touch the chest, `brother` the forehead; the others neither.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from stan_edge.backends.registry import open_backend
from stan_edge.model.bundle import open_bundle, shipped_bundle
from stan_edge.pipeline.predictor import Explainer, softmax
from stan_eval.replay import replay
from stan_train.manifest import Clip
from stan_train.probe import probe

CHEST, FOREHEAD = ("please", "sorry"), ("brother",)


def main(
    data: Path,
    model: Annotated[Path | None, typer.Option(help="Bundle; default: the shipped one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    bundle, backend = open_bundle(model or shipped_bundle()), open_backend()
    contract, explainer = bundle.contract, Explainer(bundle, backend, "gradcam")
    seen: dict[str, NDArray[np.float64]] = {}
    for path in sorted(data.glob("*.mkv")):
        found = probe(path)
        clip = Clip(
            path, "gestures", "background", path.stem, path.stem, "1", found.fps, found.frames, found.width_px,
            found.height_px, (), (), "pose", None,
        )  # fmt: skip
        windows = replay(clip, [explainer], contract, hop_s=contract.input.tick_s)
        seen[path.stem] = softmax(windows.logits[windows.valid], contract.temperature)
    index = {name: contract.classes.index(name) for name in ("chest_pain", "headache")}
    others = [name for name in seen if name not in CHEST + FOREHEAD]

    def of(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        return lambda p: p[:, index[name]]

    def chest_over_head(p: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(p[:, index["chest_pain"]] + 1e-9) - np.log(p[:, index["headache"]] + 1e-9)

    rows = [
        ("chest signs against the others, p(chest pain)", CHEST, others, of("chest_pain")),
        ("forehead sign against the others, p(headache)", FOREHEAD, others, of("headache")),
        ("chest against forehead, log p(chest pain) / p(headache)", CHEST, FOREHEAD, chest_over_head),
    ]
    lines = [
        "# Signs as a proxy for headache and chest pain",
        "",
        f"{contract.name} {bundle.digest}, {backend.name} {backend.precision}, {date.today().isoformat()}. Command: "
        f"`{shlex.join(['python', *sys.argv])}`. Nobody in these {len(seen)} clips has pain, and there are two people: "
        "a proxy.",
        "AUC over windows of 2 s, 0.1 s apart; 0.5 is chance. One or two clips on a side allow no interval.",
        "",
        "| comparison | clips | AUC |",
        "|---|---|---|",
    ]
    for name, yes, no, score in rows:
        sides = [np.concatenate([score(seen[clip]) for clip in side]) for side in (yes, no)]
        truth = np.repeat([1, 0], [len(side) for side in sides])
        value = roc_auc_score(truth, np.concatenate(sides))
        lines.append(f"| {name} | {len(yes)} against {len(no)} | {value:.2f} |")
    lines += ["", "| sign | mean p(chest pain) | mean p(headache) | mean p(background) |", "|---|---|---|---|"]
    for name, p in seen.items():
        means = p.mean(0)
        nothing = means[contract.classes.index("background")]
        lines.append(f"| {name} | {means[index['chest_pain']]:.2f} | {means[index['headache']]:.2f} | {nothing:.2f} |")
    report = "\n".join([*lines, ""])
    print(report)
    if out:
        out.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
