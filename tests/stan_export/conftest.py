"""Models with trained-size weights and moved statistics: zero or epsilon-sized ones hide wrong gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from stan_edge.backends.openvino import the_core
from stan_edge.backends.tensorrt.build import build_engine
from stan_edge.backends.tensorrt.library import import_library
from stan_edge.model.contract import InputSpec
from stan_edge.pipeline.smoothgrad import noise
from stan_export.graphs import export_graphs
from stan_export.parity import Arrays, record
from stan_train.model import Stan, StanConfig, variant

Outputs = dict[str, np.ndarray]
Engine = Callable[[Path], Callable[..., Outputs]]

TINY = StanConfig(classes=3, dims=(8, 16, 32, 64), depths=(1, 2, 1, 2), head_dim=16)


@dataclass(frozen=True)
class Exported:
    model: Stan
    input: InputSpec
    folder: Path
    samples: int

    @property
    def noise(self) -> np.ndarray:
        return noise(self.input, self.samples)

    def record(self, clips: np.ndarray, class_index: np.ndarray) -> Arrays:
        return record(self.model, self.input, clips, class_index, samples=self.samples)

    def clips(self, count: int, seed: int = 0) -> np.ndarray:
        """Half noise, half coarse blocks, uint8 `[count, T, H, W, 3]`."""
        rng = np.random.default_rng(seed)
        t, side = self.input.frames, self.input.size_px
        noise = rng.integers(0, 256, (count, t, side, side, 3), dtype=np.uint8)
        noise[::2] = noise[::2, :, : side // 8, : side // 8].repeat(8, axis=2).repeat(8, axis=3)
        return noise


def window(size_px: int, frames: int) -> InputSpec:
    return InputSpec(
        frames=frames,
        window_s=2.0,
        size_px=size_px,
        view="global",
        framing="letterbox",
        region="box",
        mean=0.45,
        std=0.225,
    )


def trained_size(config: StanConfig, seed: int = 0) -> Stan:
    """Random weights that keep activations of order 1, logits of order 1 to 3."""
    draw = torch.Generator().manual_seed(seed)
    model = Stan(config).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d | nn.LayerNorm):
            module.weight.uniform_(0.5, 1.5, generator=draw)
            module.bias.normal_(0, 0.2, generator=draw)
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.3, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
        if isinstance(module, nn.Linear | nn.Conv3d):
            module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=draw)
            module.bias.normal_(0, 0.1, generator=draw)
    return model


def export(folder: Path, config: StanConfig, size_px: int, frames: int, samples: int = 2) -> Exported:
    model, spec = trained_size(config), window(size_px, frames)
    export_graphs(model, spec, folder, samples=samples)
    return Exported(model, spec, folder, samples)


@pytest.fixture(scope="session")
def stan_t(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(tmp_path_factory.mktemp("stan-t"), variant("stan-t", classes=4), 112, 20)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """48 pixels are 12, 6, 3 and 1 tokens: the last embedding drops a row and a column, as at 112."""
    return export(tmp_path_factory.mktemp("tiny"), TINY, 48, 6)


@pytest.fixture(scope="session")
def make() -> Callable[..., Exported]:
    return export


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run_onnxruntime(path: Path) -> Callable[..., Outputs]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {entry.name: entry.shape for entry in session.get_inputs()}
    outputs = [entry.name for entry in session.get_outputs()]
    return lambda **feeds: dict(zip(outputs, session.run(outputs, _wanted(feeds, inputs)), strict=True))


def run_openvino(path: Path, precision: str = "f32") -> Callable[..., Outputs]:
    core = the_core()
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(path, "CPU", options)
    inputs = {port.any_name: port.partial_shape for port in compiled.inputs}
    return lambda **feeds: {port.any_name: value.copy() for port, value in compiled(_wanted(feeds, inputs)).items()}


def _wanted(feeds: Outputs, inputs: dict[str, Any]) -> Outputs:
    """What a graph takes; `streaming` takes the first draw of noise alone."""
    wanted = {name: feeds[name] for name in inputs}
    return wanted | ({"noise": feeds["noise"][: _length(inputs["noise"][0])]} if "noise" in inputs else {})


def _length(dimension: Any) -> int:
    return dimension if isinstance(dimension, int) else dimension.get_length()


@pytest.fixture(scope="session", params=[run_onnxruntime, run_openvino], ids=["onnxruntime", "openvino"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Runs a graph in float32."""
    return request.param


@pytest.fixture(scope="session")
def openvino_bf16() -> Engine:
    if "BF16" not in the_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    return lambda path: run_openvino(path, "bf16")


@dataclass(frozen=True)
class EngineSize:
    """What came out of a build."""

    layers: int
    plan_bytes: int


def build_with_tensorrt_rtx(path: Path) -> EngineSize:
    """Build an engine as `stan-edge engine` would, and throw it away: TensorRT for RTX shares its ONNX parser with
    TensorRT and builds engines for GPUs that are not there.

    Raises:
        BackendUnavailableError: the package `tensorrt_rtx` is not installed.
        BackendError: see `build_engine`.
    """
    engine = build_engine(import_library("tensorrt-rtx"), path, "f32")
    return EngineSize(layers=engine.layers, plan_bytes=len(engine.plan))
