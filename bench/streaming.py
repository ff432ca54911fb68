"""Is one noise draw a window, joined over overlapping windows, as good as SmoothGrad with all draws in each window?

    python bench/streaming.py MANIFEST... [--hop 0.2] [--out bench/results/streaming.md]

`streaming` against `smoothgrad` with n = 20 / hop in ticks, both joined over the windows that hold a frame. How far two
SmoothGrads of other noise agree is the most that can be asked; `vanilla` is what it would be without noise.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from datetime import date
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from stan_edge.backends.registry import open_backend
from stan_edge.model.bundle import graph_file, open_bundle, shipped_bundle
from stan_edge.model.contract import Contract
from stan_edge.pipeline.attribution import correct
from stan_edge.pipeline.smoothgrad import SIGMA, StreamNoise, noise
from stan_eval.replay import inputs
from stan_export.frame_calibration import THRESHOLDS, f1_score
from stan_export.graphs import export_graphs
from stan_train.checkpoint import load_checkpoint
from stan_train.manifest import Clip, read_manifest

Run = Callable[[NDArray[np.uint8], int, int], NDArray[np.float32]]
"""Frames `[T, S, S, 3]`, class, window number -> raw frame scores `[T]`."""


def main(
    manifests: list[Path],
    checkpoint: Annotated[Path, typer.Option()] = Path("train/checkpoints/stan-t.safetensors"),
    hop: Annotated[float, typer.Option(help="Seconds between windows.")] = 0.2,
    most: Annotated[int, typer.Option(help="Clips of each manifest, at most.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    bundle, backend = open_bundle(shipped_bundle()), open_backend()
    spec = bundle.contract.input
    samples = round(spec.frames / spec.hop_ticks(hop))
    spent_ms: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        export_graphs(load_checkpoint(checkpoint).model, spec, Path(folder), samples=samples)
        graphs = {
            name: backend.load(Path(folder) / graph_file(name)) for name in ("vanilla", "smoothgrad", "streaming")
        }
        shape = (samples, spec.frames, spec.size_px, spec.size_px, 3)
        other = (SIGMA * np.random.default_rng(1).standard_normal(shape)).astype(np.float32)
        draws = StreamNoise(spec)
        own = noise(spec, samples)

        def run(name: str, graph: str, added: Callable[[int], NDArray[np.float32]] | None) -> Run:
            def explain(frames: NDArray[np.uint8], own_class: int, number: int) -> NDArray[np.float32]:
                feeds = {"frames": frames[None], "class_index": np.array([own_class])}
                if added is not None:
                    feeds["noise"] = added(number)
                started_s = time.perf_counter()
                scores = graphs[graph](feeds)["frame_scores"][0]
                spent_ms.setdefault(name, []).append((time.perf_counter() - started_s) * 1e3)
                return scores

            return explain

        runs = {
            "vanilla": run("vanilla", "vanilla", None),
            "streaming": run("streaming", "streaming", draws),
            "smoothgrad": run("smoothgrad", "smoothgrad", lambda _: own),
            "smoothgrad, other noise": run("smoothgrad, other noise", "smoothgrad", lambda _: other),
        }
        lines = [
            "# Streaming against SmoothGrad",
            "",
            f"{bundle.contract.name}, {backend.name} {backend.precision}, hop {hop:g} s, n = {samples}, "
            f"{date.today().isoformat()}. Command: `{shlex.join(['python', *sys.argv])}`.",
            "Importance of each frame: mean of its corrected scores for the true class over the windows that hold it, "
            "not gated by the probability of background as live. Agreement: Spearman's rank correlation within a clip, "
            "mean over clips. F1: best over thresholds on these very frames, for comparison only.",
        ]
        for path in manifests:
            clips = [clip for clip in read_manifest(path) if clip.important and clip.label in bundle.contract.classes]
            lines += _of(path, clips[:most], runs, bundle.contract, hop)
    medians = {name: float(np.median(values)) for name, values in spent_ms.items()}
    cost = ", ".join(f"{name} {ms:.0f} ms ({ms / medians['vanilla']:.2f})" for name, ms in medians.items())
    lines += ["", f"A window's graph run, median (over vanilla's), all methods taking turns: {cost}.", ""]
    print("\n".join(lines))
    if out:
        out.write_text("\n".join(lines), encoding="utf-8")


def _of(path: Path, clips: list[Clip], runs: dict[str, Run], contract: Contract, hop: float) -> list[str]:
    joined: dict[str, list[NDArray[np.float64]]] = {name: [] for name in runs}
    truth: list[NDArray[np.bool_]] = []
    spec = contract.methods["vanilla"]
    for clip in clips:
        total = {name: np.zeros(clip.frames) for name in runs}
        count = np.zeros(clip.frames)
        for window, pictures in inputs(clip, contract, hop):
            if pictures is None:
                continue
            index = np.minimum([sample.frame.index for sample in window.samples], clip.frames - 1)
            np.add.at(count, index, 1)
            for name, explain in runs.items():
                scores = explain(pictures[0], contract.classes.index(clip.label), window.number)
                np.add.at(total[name], index, correct(scores, spec))
        seen = (count > 0) & ~clip.ignored_flags()
        truth.append(clip.important_flags()[seen])
        for name, values in total.items():
            joined[name].append(values[seen] / count[seen])
    flags = np.concatenate(truth)
    lines = ["", f"## {path.name}: {len(clips)} clips, {len(flags)} frames, {flags.mean():.0%} important", ""]
    lines += ["| method | AP | F1 |", "|---|---|---|"]
    for name, values in joined.items():
        pooled = np.concatenate(values)
        scaled = (pooled - pooled.min()) / np.ptp(pooled)
        f1 = max(f1_score(scaled >= threshold, flags) for threshold in THRESHOLDS)
        lines.append(f"| {name} | {100 * average_precision_score(flags, pooled):.1f} | {100 * f1:.1f} |")
    lines += ["", "| agreement of | rank correlation |", "|---|---|"]
    for one, other in combinations(runs, 2):
        pairs = zip(joined[one], joined[other], strict=True)
        agreement = np.mean([spearmanr(a, b).statistic for a, b in pairs])
        lines.append(f"| {one} and {other} | {agreement:.3f} |")
    return lines


if __name__ == "__main__":
    typer.run(main)
