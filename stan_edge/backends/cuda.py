"""The NVIDIA GPU of this machine: found before any library that would crash without it is loaded, and its memory."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.errors import BackendError, BackendUnavailableError

DRIVER = "libcuda.so.1"
COMPUTE_CAPABILITY = (75, 76)
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
INSTEAD = "use --backend auto, or install NVIDIA's driver"


@dataclass(frozen=True)
class Gpu:
    """The first GPU that CUDA shows."""

    name: str
    compute_capability: str
    """As "8.7"."""

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"


def find_gpu(driver: str = DRIVER) -> Gpu:
    """Ask the driver itself: it needs no package, and where it is missing the answer takes microseconds.

    Raises:
        BackendUnavailableError: there is no driver, or it shows no GPU.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError as error:
        raise BackendUnavailableError(f"This machine has no NVIDIA GPU with CUDA (no {driver}); {INSTEAD}.") from error
    count, device, value = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or count.value == 0:
        raise BackendUnavailableError(f"CUDA's driver is here but shows no GPU; look at nvidia-smi, or {INSTEAD}.")
    capability = []
    failed = cuda.cuDeviceGet(ctypes.byref(device), 0) or cuda.cuDeviceGetName(name, len(name), device)
    for attribute in COMPUTE_CAPABILITY:
        failed = failed or cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    if failed:
        raise BackendUnavailableError(f"CUDA's driver does not describe the GPU; look at nvidia-smi, or {INSTEAD}.")
    return Gpu(name.value.decode(errors="replace"), ".".join(capability))


def has_gpu() -> bool:
    try:
        find_gpu()
    except BackendUnavailableError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory on the GPU, and the host's that it is filled from or read into."""

    address: int
    host: NDArray[np.uint8]


class CudaDevice:
    """The GPU's memory by CUDA's runtime, all in order on one stream. Buffers live as long as the process."""

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self._cuda = runtime
        self.stream = int(self._checked(runtime.cudaStreamCreate()))

    def allocate(self, nbytes: int) -> Buffer:
        """The host's side is pinned, or copies would not be asynchronous."""
        address = int(self._checked(self._cuda.cudaMalloc(nbytes)))
        pinned = int(self._checked(self._cuda.cudaMallocHost(nbytes)))
        return Buffer(address, np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(pinned)))

    def upload(self, buffer: Buffer, nbytes: int) -> None:
        to_device = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        host = buffer.host.ctypes.data
        self._checked(self._cuda.cudaMemcpyAsync(buffer.address, host, nbytes, to_device, self.stream))

    def download(self, buffer: Buffer, nbytes: int) -> None:
        to_host = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        host = buffer.host.ctypes.data
        self._checked(self._cuda.cudaMemcpyAsync(host, buffer.address, nbytes, to_host, self.stream))

    def synchronize(self) -> None:
        self._checked(self._cuda.cudaStreamSynchronize(self.stream))

    def _checked(self, answer: tuple[Any, ...]) -> Any:
        """The value beside the status; raises BackendError for any but success."""
        status, *values = answer
        if status != self._cuda.cudaError_t.cudaSuccess:
            _, text = self._cuda.cudaGetErrorString(status)
            reason = text.decode(errors="replace") if isinstance(text, bytes) else str(status)
            raise BackendError(f"CUDA says: {reason}; look at nvidia-smi, or {INSTEAD}.")
        return values[0] if values else None
