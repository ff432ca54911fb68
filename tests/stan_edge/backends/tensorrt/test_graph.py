"""The handling of buffers, on this machine's memory: a stand-in for the GPU, and for the engine a real one (ONNX
Runtime) that reads and writes at the addresses it was given."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from stan_edge.backends.cuda import Buffer
from stan_edge.backends.registry import open_backend
from stan_edge.backends.tensorrt.build import MOST_WINDOWS
from stan_edge.backends.tensorrt.graph import TensorRtGraph
from stan_edge.errors import BackendError
from stan_edge.model.bundle import Bundle, methods_of
from stan_edge.model.contract import METHODS, Method
from stan_edge.parity import replay, require_parity
from stan_edge.pipeline.predictor import Explainer
from stan_export.builder import GraphBuilder

trt = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)


TYPES = {"tensor(uint8)": trt.uint8, "tensor(int64)": trt.int64, "tensor(float)": trt.float32}


class HostDevice:
    """The GPU's side is memory of this machine, too; counts what is allocated and copied."""

    stream = 7

    def __init__(self) -> None:
        self.memory: dict[int, np.ndarray] = {}
        self.uploads: list[int] = []

    def allocate(self, nbytes: int) -> Buffer:
        memory = np.full(nbytes, 0xAA, np.uint8)
        self.memory[memory.ctypes.data] = memory
        return Buffer(memory.ctypes.data, np.full(nbytes, 0x55, np.uint8))

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        self.uploads.append(nbytes)
        self.memory[buffer.address][:nbytes] = buffer.host[:nbytes]

    def download(self, buffer: Buffer, nbytes: int) -> None:
        buffer.host[:nbytes] = self.memory[buffer.address][:nbytes]

    def synchronize(self) -> None: ...


class HostEngine:
    """Answers as an `ICudaEngine` and its `IExecutionContext` do."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = {entry.name: entry for entry in self._session.get_inputs()}
        self._ports = self._inputs | {entry.name: entry for entry in self._session.get_outputs()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self.num_io_tensors = len(self._ports)

    def create_execution_context(self) -> HostEngine:
        return self

    def get_tensor_name(self, k: int) -> str:
        return list(self._ports)[k]

    def get_tensor_mode(self, name: str) -> Any:
        return trt.TensorIOMode.INPUT if name in self._inputs else trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return TYPES[self._ports[name].type]

    def get_tensor_shape(self, name: str) -> Any:
        batch = self._shapes[next(iter(self._inputs))][0] if self._shapes else -1
        return trt.Dims([side if isinstance(side, int) else batch for side in self._ports[name].shape])

    def get_tensor_profile_shape(self, name: str, _profile: int) -> list[Any]:
        sides = self._ports[name].shape
        return [[side if isinstance(side, int) else batch for side in sides] for batch in (1, 1, MOST_WINDOWS)]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostDevice.stream
        feeds = {name: self._at(name, self._shapes[name]) for name in self._inputs}
        for entry, value in zip(self._session.get_outputs(), self._session.run(None, feeds), strict=True):
            self._at(entry.name, value.shape)[...] = value
        return True

    def _at(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(trt.nptype(self.get_tensor_dtype(name)))
        memory = (ctypes.c_uint8 * (math.prod(shape) * dtype.itemsize)).from_address(self._addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


class HostBackend:
    name, version, precision, device, fallback = "tensorrt", trt.__version__, "f32", "host", False

    def __init__(self, build: str = "one") -> None:
        self.memory = HostDevice()
        self._build = build

    def load(self, path: Path) -> TensorRtGraph:
        return TensorRtGraph(trt, HostEngine(path), self.memory, self._build)


@pytest.fixture
def open_batch(tmp_path: Path) -> Path:
    """`y = x + c`, for any number of rows."""
    g = GraphBuilder()
    y = g.node("Add", "x", "c")
    model = g.model("rows", {"x": (1, ("rows", 4)), "c": (1, (1, 4))}, {"y": (y, ("rows", 4))})
    onnx.save(model, tmp_path / "rows.onnx")
    return tmp_path / "rows.onnx"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_through_the_buffers_as_it_is(tiny_bundle: Bundle, method: Method) -> None:
    backend = HostBackend()
    assert method in methods_of(tiny_bundle)
    assert replay(tiny_bundle, backend, Explainer(tiny_bundle, backend, method)).passed


def test_an_engine_that_was_built_again_must_prove_itself_again(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another build may choose other kernels."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = []
    for build in ("one", "one", "another"):
        backend = HostBackend(build)
        explainer = Explainer(tiny_bundle, backend, "gradcam")
        backend.memory.uploads.clear()
        require_parity(tiny_bundle, backend, explainer)
        ran.append(bool(backend.memory.uploads))
    assert ran == [True, False, True]


def test_results_stay_as_they_are_when_the_engine_runs_again(tiny_bundle: Bundle) -> None:
    explainer = Explainer(tiny_bundle, HostBackend(), "vanilla")
    one, other = np.random.default_rng(0).integers(0, 256, (2, 20, 64, 64, 3), np.uint8)
    first = explainer(one)
    kept = first.frame_scores.copy()
    assert not np.array_equal(explainer(other).frame_scores, kept)
    assert np.array_equal(first.frame_scores, kept)
    assert np.array_equal(explainer(one).frame_scores, kept)


def test_memory_is_taken_once_and_noise_is_copied_once(standard_bundle: Bundle) -> None:
    backend = HostBackend()
    explainer = Explainer(standard_bundle, backend, "smoothgrad")
    taken = len(backend.memory.memory)
    window = np.ones((20, 64, 64, 3), np.uint8)
    backend.memory.uploads.remove(window.nbytes)  # its first run, to be warm
    expected = Explainer(standard_bundle, open_backend("onnxruntime", threads=1), "smoothgrad")(window)
    for _ in range(3):
        assert np.array_equal(explainer(window).frame_scores, expected.frame_scores)
    assert len(backend.memory.memory) == taken
    noise_bytes = 4 * window.size * standard_bundle.contract.methods["smoothgrad"].samples
    assert backend.memory.uploads.count(noise_bytes) == 1
    assert backend.memory.uploads.count(window.nbytes) == 3


def test_an_array_that_may_change_is_copied_every_time(open_batch: Path) -> None:
    graph = HostBackend().load(open_batch)
    x, c = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)
    assert graph({"x": x, "c": c})["y"].tolist() == [[1] * 4]
    c[:] = 5
    assert graph({"x": x, "c": c})["y"].tolist() == [[5] * 4]


def test_a_batch_of_any_size_up_to_the_largest(open_batch: Path) -> None:
    graph = HostBackend().load(open_batch)
    c = np.ones((1, 4), np.float32)
    for rows in (1, MOST_WINDOWS, 3):
        x = np.arange(4.0 * rows, dtype=np.float32).reshape(rows, 4)
        assert np.array_equal(graph({"x": x, "c": c})["y"], x + 1)
    too_many = np.zeros((MOST_WINDOWS + 1, 4), np.float32)
    with pytest.raises(BackendError, match=r"Input x has shape \[9, 4\], the engine takes \[8, 4\] at most"):
        graph({"x": too_many, "c": c})
    assert np.array_equal(graph({"x": too_many[:2], "c": c})["y"], np.ones((2, 4), np.float32))
