"""Writes packs until it is killed: `python writer.py FOLDER BUNDLE RUN`; prints the name of each that is there."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np

from stan_edge.evidence.case import Case
from stan_edge.evidence.folder import EvidenceFolder
from stan_edge.evidence.pack import write_pack
from stan_edge.evidence.ring import CompressedFrame
from stan_edge.model.bundle import CONTRACT, open_bundle
from stan_edge.retention import Retention
from stan_edge.sources import Frame
from tests.stan_edge.sinks.conftest import an_event


def main(folder: Path, bundle_folder: Path, run: str) -> None:
    bundle, packs = open_bundle(bundle_folder), EvidenceFolder(folder, Retention())
    contract_file = (bundle_folder / CONTRACT).read_bytes()
    pictures = np.random.default_rng(0).integers(0, 256, (40, 240, 320, 3), dtype=np.uint8)
    shots = tuple(CompressedFrame.of(Frame(k, k / 10, picture)) for k, picture in enumerate(pictures))
    case = Case(an_event(0, "end"), None, None, shots, (), ("{}",))
    print("begun", flush=True)
    for number in itertools.count():
        packs.add(
            f"{run}-{number}",
            lambda part: write_pack(part, case, bundle.contract, contract_file, "none"),
        )
        print(f"{run}-{number}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
