"""ONNX Runtime on an NVIDIA GPU, by its CUDA provider.

It is listed as available where it does not load, and a session then computes on the processor without a word. So a
session is asked what it took, and one profiled run where its nodes really ran.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import MOST_WINDOWS, Placement, Precision
from stan_edge.backends.cuda import Gpu, find_gpu
from stan_edge.backends.onnxruntime import PROVIDER as CPU
from stan_edge.backends.onnxruntime import loading, nodes_in, placement_of, session_options
from stan_edge.backends.tensorrt.build import half_graph
from stan_edge.errors import BackendFallbackError, BackendUnavailableError

import onnxruntime as ort  # isort: skip  # after the module above, which keeps it from reporting

CUDA = "CUDAExecutionProvider"
FLOATS = frozenset({"float", "float16", "bfloat16", "double"})
NUMPY_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


class BoundGraph:
    """A session whose inputs stay in the same memory of the device; one call at a time."""

    def __init__(self, session: Any, device: Literal["cuda", "cpu"]) -> None:
        self._session = session
        self._device = device
        self._binding = session.io_binding()
        self._values: dict[str, Any] = {}
        self._uploaded: dict[str, NDArray[Any]] = {}
        entries = session.get_inputs()
        self.inputs = tuple(entry.name for entry in entries)
        open_batch = any(entry.name == "frames" and isinstance(entry.shape[0], str) for entry in entries)
        self.most_windows = MOST_WINDOWS if open_batch else 1
        self._outputs = [entry.name for entry in session.get_outputs()]
        for name in self._outputs:
            self._binding.bind_output(name, "cpu")  # small: a window's scores and map

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        for name in self.inputs:
            self._upload(name, feeds[name])
        self._session.run_with_iobinding(self._binding)
        values = self._binding.copy_outputs_to_cpu()
        return {name: np.array(value) for name, value in zip(self._outputs, values, strict=True)}

    def zeros(self) -> dict[str, NDArray[Any]]:
        """Inputs of the right types and shapes, one window where the graph leaves the batch open."""
        return {
            entry.name: np.zeros(
                [side if isinstance(side, int) else 1 for side in entry.shape], NUMPY_TYPES[entry.type]
            )
            for entry in self._session.get_inputs()
        }

    def _upload(self, name: str, value: NDArray[Any]) -> None:
        """An array that nobody can write to and that was handed over last time is there already."""
        if self._uploaded.get(name) is value:
            return
        self._uploaded.pop(name, None)
        held = self._values.get(name)
        if held is None or tuple(held.shape()) != value.shape:
            held = ort.OrtValue.ortvalue_from_shape_and_type(list(value.shape), value.dtype, self._device, 0)
            self._values[name] = held
            self._binding.bind_ortvalue_input(name, held)
        held.update_inplace(np.ascontiguousarray(value))
        if not value.flags.writeable:
            self._uploaded[name] = value


class OnnxRuntimeCudaBackend:
    name = "onnxruntime-cuda"
    version: str = ort.__version__
    fallback = False

    def __init__(self, gpu: Gpu, precision: Precision) -> None:
        self.precision = precision
        self.device = str(gpu)

    def load(self, path: Path) -> BoundGraph:
        graph, _ = self._loaded(path)
        return graph

    def placement(self, path: Path, _feeds: Mapping[str, NDArray[Any]]) -> Placement:
        _, ran = self._loaded(path)
        return placement_of(ran)

    def _loaded(self, path: Path) -> tuple[BoundGraph, list[dict[str, Any]]]:
        """The graph, and the nodes of its first run.

        Raises:
            BackendFallbackError: any of it would be computed on the processor.
        """
        with TemporaryDirectory() as folder:
            with loading(path), redirect_stdout(sys.stderr):  # it prints that it falls back, between records
                model = path if self.precision == "f32" else half_graph(path, self.precision)
                options = session_options(profile=Path(folder))
                session = ort.InferenceSession(model, options, providers=[(CUDA, {"use_tf32": "0"})])
            refuse_other_provider(self.name, CUDA, session.get_providers())
            graph = BoundGraph(session, "cuda")
            graph(graph.zeros())
            ran = nodes_in(Path(session.end_profiling()))
        refuse_nodes_on_cpu(self.name, ran)
        return graph, ran


def refuse_other_provider(name: str, wanted: str, got: list[str]) -> None:
    """Raises BackendFallbackError when a session did not take the provider that was asked for."""
    if not got or got[0] != wanted:
        raise BackendFallbackError(
            f"Backend {name} would run on {', '.join(got)} instead of {wanted}; install the CUDA and cuDNN that "
            "pip install 'stan-edge[gpu]' names, or give --allow-fallback."
        )


def refuse_nodes_on_cpu(name: str, ran: list[dict[str, Any]]) -> None:
    """Raises BackendFallbackError when the processor computed real numbers; whole ones are shapes and belong there."""
    there = Counter(
        str(node["op_name"])
        for node in ran
        if node["provider"] == CPU and any(FLOATS.intersection(entry) for entry in node["output_type_shape"])
    )
    if there:
        kinds = ", ".join(f"{count} {kind}" for kind, count in there.most_common(3))
        raise BackendFallbackError(
            f"Backend {name} would compute {there.total()} of {len(ran)} nodes on the processor ({kinds}); "
            "choose another --backend, or give --allow-fallback."
        )


def open_engine(precision: Precision, _threads: int) -> OnnxRuntimeCudaBackend:
    """Raises BackendUnavailableError without a GPU, without the provider, or for bf16."""
    gpu = find_gpu()
    if precision == "bf16":
        raise BackendUnavailableError("Backend onnxruntime-cuda does not compute in bf16; use f16 or f32.")
    if CUDA not in ort.get_available_providers():
        raise BackendUnavailableError(
            f"Backend onnxruntime-cuda: the ONNX Runtime that is installed has no {CUDA}; "
            "run: pip uninstall onnxruntime, then: pip install 'stan-edge[gpu]'."
        )
    if hasattr(ort, "preload_dlls"):  # CUDA and cuDNN from pip; since 1.21
        with redirect_stdout(sys.stderr):  # it prints what it does not find
            ort.preload_dlls()
    return OnnxRuntimeCudaBackend(gpu, precision)
