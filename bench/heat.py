"""How much of the heat lies on the person: raw maps, and what `stan_edge.attribution.focus` leaves of them for the eye.

python bench/heat.py MANIFEST [--out bench/results/heat.md]
"""

from __future__ import annotations

import shlex
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from stan_edge.backends.registry import open_backend
from stan_edge.live.runtime import CameraSpec, Runtime
from stan_edge.model.bundle import methods_of, open_bundle, shipped_bundle
from stan_edge.model.contract import Contract, Method
from stan_edge.person.detection import watching
from stan_edge.pipeline.heat import focus
from stan_edge.pipeline.predictor import Explainer, Explanation
from stan_edge.pipeline.windows import Window
from stan_edge.records import WindowResult
from stan_edge.sinks.base import Sink
from stan_edge.sources import CroppedSource, VideoFile
from stan_edge.types import Square
from stan_train.manifest import read_manifest

KINDS = ("raw", "focused", "blurred and focused", "even")


def main(manifest: Path, out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None) -> None:
    bundle, backend = open_bundle(shipped_bundle()), open_backend()
    clips = read_manifest(manifest)
    lines = [f"| method | {' | '.join(KINDS)} | windows |", "|---|" + "---:|" * (len(KINDS) + 1)]
    for method in (name for name in methods_of(bundle) if bundle.contract.methods[name].samples is None):
        shares = _Shares(bundle.contract, method)
        for clip in clips:
            with watching(masks=False) as tracker:
                file = VideoFile(clip.path)
                source = CroppedSource(file, clip.crop) if clip.crop else file
                Runtime(bundle, backend, Explainer(bundle, backend, method)).watch(
                    [CameraSpec(source, tracker, [shares])]
                )
        figures = " | ".join(f"{np.mean(shares.of[kind]):.2f}" for kind in KINDS)
        lines.append(f"| {method} | {figures} | {len(shares.of['raw'])} |")
        print(lines[-1])
    text = (
        "# Share of the heat that lies in the person's box\n\n" + "\n".join(lines) + "\n\n"
        "Mean over windows that show an activity; `even`: share of the picture that the box takes. "
        f"{bundle.contract.name} {bundle.digest}, {backend.name} {backend.precision}, {len(clips)} clips, "
        f"{date.today():%Y-%m-%d}.\n\n`python {shlex.join(sys.argv)}`\n"
    )
    if out is not None:
        out.write_text(text, encoding="utf-8")


class _Shares(Sink):
    def __init__(self, contract: Contract, method: Method) -> None:
        self._contract = contract
        self._cell_px = contract.methods[method].cell_px
        self.of: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def window(self, window: Window, result: WindowResult, square: Square, explanation: Explanation) -> None:
        covered = self._covered(window, square, explanation.map.shape[-1])
        raw = explanation.map.astype(np.float64)
        heats = (raw, focus(raw), focus(_blurred(raw)), np.ones_like(raw))
        # a frame without heat, or without a person, says nothing; the others count as much as the network looks at them
        told = covered.any((1, 2)) & np.all([heat.any((1, 2)) for heat in heats], axis=0)
        if result.label == self._contract.background or not told.any():
            return
        weights = raw.sum((1, 2))[told]
        for kind, heat in zip(KINDS, heats, strict=True):
            shares = (heat * covered).sum((1, 2))[told] / heat.sum((1, 2))[told]
            self.of[kind].append(float(np.average(shares, weights=weights)))

    def _covered(self, window: Window, square: Square, cells: int) -> NDArray[np.float64]:
        """Share of each cell that the person's box takes, `[T, cells, cells]`."""
        covered = np.zeros((len(window.samples), cells, cells))
        edges = np.arange(cells + 1) * self._cell_px
        for number, sample in enumerate(window.samples):
            if sample.region.box_px is not None:
                x0, y0, x1, y1 = square.to_view(sample.region.box_px, self._contract.input.size_px)
                across, down = (
                    (np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)).clip(0) / self._cell_px
                    for start, end in ((x0, x1), (y0, y1))
                )
                covered[number] = np.outer(down, across)
        return covered


def _blurred(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([cv2.GaussianBlur(frame, (3, 3), 0.8, borderType=cv2.BORDER_REFLECT) for frame in cells])


if __name__ == "__main__":
    typer.run(main)
