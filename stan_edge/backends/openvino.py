"""OpenVINO on the CPU: about twice ONNX Runtime on these graphs, bf16 where the processor has it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Placement, Precision
from stan_edge.errors import BackendError, BackendUnavailableError

# `import openvino` writes an id into the home and reports itself to Google Analytics, from a process of its own, unless
# this package of its cannot be imported
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

CAPABILITY = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}

NO_WORK = ("Const", "Input", "Output")
FRAMES = "frames"


class OpenVinoGraph:
    """A model, compiled anew for every batch that it is asked for: with a batch left open it would be slower.

    Names are those of the file: where a node is optimised away (a bias of zeros), the compiled output bears another
    name beside its own, and `any_name` may be that one.
    """

    def __init__(self, model: ov.Model, compile_model: Callable[[ov.Model], ov.CompiledModel]) -> None:
        self._model = model
        self._compile = compile_model
        self._requests: dict[int, ov.InferRequest] = {}
        self.inputs = tuple(port.any_name for port in model.inputs)
        self._outputs = [port.any_name for port in model.outputs]
        self._request(1)

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        request = self._request(len(feeds[FRAMES]))
        request.infer({name: feeds[name] for name in self.inputs}, share_inputs=True)
        # copied: the request reuses its output memory at the next call
        return {name: request.get_tensor(name).data.copy() for name in self._outputs}

    def _request(self, batch: int) -> ov.InferRequest:
        if batch not in self._requests:
            compiled = self._compile(with_batch(self._model, batch))
            self._requests[batch] = compiled.create_infer_request()
        return self._requests[batch]


def with_batch(model: ov.Model, batch: int) -> ov.Model:
    """The model with all shapes known."""
    fixed = model.clone()
    shapes = {port.any_name: port.partial_shape for port in model.inputs}
    fixed.reshape({name: [batch if side.is_dynamic else side for side in shape] for name, shape in shapes.items()})
    return fixed


class OpenVinoBackend:
    name = "openvino"
    version: str = ov.__version__
    device = "CPU"
    fallback = False

    def __init__(self, core: ov.Core, precision: Precision, threads: int) -> None:
        self.precision = precision
        self._core = core
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,  # without it the plugin picks bf16 where it can
            "INFERENCE_NUM_THREADS": threads,
        }

    def load(self, path: Path) -> OpenVinoGraph:
        try:
            return OpenVinoGraph(self._core.read_model(path), self._compile)
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO cannot load {path} ({str(error).splitlines()[0]}); "
                "choose another --backend or export the bundle again."
            ) from error

    def placement(self, path: Path, feeds: Mapping[str, NDArray[Any]]) -> Placement:
        """As the compiled graph says; its kernels are named with the precision they compute in."""
        compiled = self._compile(with_batch(self._core.read_model(path), len(feeds[FRAMES])))
        infos = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        working = [info for info in infos if info["layerType"].astype(str) not in NO_WORK]
        kernels = Counter(info["primitiveType"].astype(str) for info in working)
        devices = "+".join(compiled.get_property("EXECUTION_DEVICES"))
        return Placement({devices: kernels.total()}, dict(kernels.most_common()))

    def _compile(self, model: ov.Model) -> ov.CompiledModel:
        return self._core.compile_model(model, self.device, self._config)


@cache
def the_core() -> ov.Core:
    """OpenVINO's plugins: one for the process and for good.

    Where a processor has AVX-512, the plugin gives the thread that loads it another stack for signals. When it goes, in
    whatever thread that happens to be, it unmaps that stack, and the next signal ends the process with a segmentation
    fault (2026.4; seen when a child of the process ended, with a handler for that installed by PyTorch).
    """
    return ov.Core()


def open_engine(precision: Precision, threads: int) -> OpenVinoBackend:
    """Raises BackendUnavailableError when this processor cannot compute at the precision."""
    core = the_core()
    try:
        can = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except RuntimeError as error:
        raise BackendUnavailableError("OpenVINO finds no CPU plugin; install openvino again.") from error
    if CAPABILITY[precision] not in can:
        raise BackendUnavailableError(f"Backend openvino cannot compute in {precision} on this processor; use f32.")
    return OpenVinoBackend(core, precision, threads)
