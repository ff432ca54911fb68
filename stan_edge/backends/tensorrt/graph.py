"""Runs an engine: memory is taken once for the largest batch, and what has not changed is not copied again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.cuda import Buffer, CudaDevice
from stan_edge.errors import BackendError

FRAMES = "frames"


@dataclass(frozen=True, eq=False)
class _Port:
    """An input or output of the engine."""

    dtype: np.dtype[Any]
    most: tuple[int, ...]
    """Largest shape."""
    buffer: Buffer


class TensorRtGraph:
    """An engine with an execution context of its own; one call at a time.

    Args:
        trt: the module that `engine` is of.
        identity: tells this engine from another build of the same graph, which may choose other kernels.
    """

    def __init__(self, trt: Any, engine: Any, device: CudaDevice, identity: str) -> None:
        self.identity = identity
        self._engine = engine  # what the context runs
        self._context = engine.create_execution_context()
        if self._context is None:
            raise BackendError("TensorRT finds no memory on the GPU for this model; free some, see nvidia-smi.")
        self._device = device
        names = [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]
        is_input = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs = tuple(name for name in names if is_input[name])
        most = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        for name in self.inputs:
            if -1 in most[name]:
                most[name] = tuple(engine.get_tensor_profile_shape(name, 0)[2])
        self.most_windows = most[FRAMES][0] if FRAMES in most else 1
        self._shapes = {name: most[name] for name in self.inputs}
        for name in self.inputs:
            self._set_shape(name, most[name])
        self._ports: dict[str, _Port] = {}
        for name in names:
            shape = most[name] if is_input[name] else tuple(self._context.get_tensor_shape(name))
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            port = _Port(dtype, shape, device.allocate(math.prod(shape) * dtype.itemsize))
            self._context.set_tensor_address(name, port.buffer.address)
            self._ports[name] = port
        self._outputs = tuple(name for name in names if not is_input[name])
        self._uploaded: dict[str, NDArray[Any]] = {}

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        for name in self.inputs:
            self._upload(name, feeds[name])
        if not self._context.execute_async_v3(self._device.stream):
            raise BackendError("TensorRT could not start the engine on the GPU; look at nvidia-smi and start again.")
        shapes = {name: tuple(self._context.get_tensor_shape(name)) for name in self._outputs}
        for name, shape in shapes.items():
            port = self._ports[name]
            self._device.download(port.buffer, math.prod(shape) * port.dtype.itemsize)
        self._device.synchronize()
        # copied: the next call writes to the same memory
        return {name: self._view(name, shape).copy() for name, shape in shapes.items()}

    def _upload(self, name: str, value: NDArray[Any]) -> None:
        """An array that nobody can write to and that was handed over last time is on the GPU already."""
        if self._uploaded.get(name) is value:
            return
        self._uploaded.pop(name, None)
        port = self._ports[name]
        if value.shape != self._shapes[name]:
            if len(value.shape) != len(port.most) or not np.less_equal(value.shape, port.most).all():
                raise BackendError(
                    f"Input {name} has shape {list(value.shape)}, the engine takes {list(port.most)} at most; "
                    "give fewer windows at a time."
                )
            self._set_shape(name, value.shape)
        self._view(name, value.shape)[...] = value
        self._device.upload(port.buffer, value.size * port.dtype.itemsize)
        if not value.flags.writeable:
            self._uploaded[name] = value

    def _set_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if not self._context.set_input_shape(name, shape):
            raise BackendError(f"The engine does not take input {name} with shape {list(shape)}; build it again.")
        self._shapes[name] = shape

    def _view(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The host's memory of a port as an array."""
        port = self._ports[name]
        return port.buffer.host[: math.prod(shape) * port.dtype.itemsize].view(port.dtype).reshape(shape)
