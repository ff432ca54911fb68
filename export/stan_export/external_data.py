"""Graphs of a bundle on disk, and the one file of weights that they all refer to."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import onnx
from onnx import external_data_helper

from stan_edge.model.bundle import WEIGHTS

ALIGNMENT = 4096
"""Bytes; a page, so that a runtime can map each tensor from disk."""
SMALLEST = 1024
"""Bytes; smaller tensors stay inside the graphs: TensorRT and the ONNX checker read shapes and axes there."""


def save_graphs(graphs: Mapping[str, onnx.ModelProto], folder: Path) -> tuple[Path, ...]:
    """Write graphs by their names, and the weights beside them; what was written is checked. Returns all paths."""
    weights = WeightsFile(folder / WEIGHTS)
    for name, graph in graphs.items():
        weights.take_initializers(graph)
        onnx.save(graph, folder / name)
    weights.write()
    for name in graphs:
        onnx.checker.check_model(folder / name, full_check=True)
    return (*(folder / name for name in graphs), folder / WEIGHTS)


class WeightsFile:
    """Collects tensors from several graphs; equal contents are stored once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chunks: list[bytes] = []
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    def take_initializers(self, model: onnx.ModelProto) -> None:
        """Move the large initializers of a graph into this file, and leave references."""
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= SMALLEST:
                length = len(tensor.raw_data)
                offset = self._place(tensor.raw_data)
                external_data_helper.set_external_data(tensor, self._path.name, offset, length)
                tensor.ClearField("raw_data")

    def _place(self, content: bytes) -> int:
        digest = sha256(content).digest()
        if digest not in self._offsets:
            padding = -self._size % ALIGNMENT
            self._offsets[digest] = self._size + padding
            self._chunks += [bytes(padding), content]
            self._size += padding + len(content)
        return self._offsets[digest]

    def write(self) -> None:
        self._path.write_bytes(b"".join(self._chunks))
