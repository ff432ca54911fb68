"""OpenVINO on an Intel GPU; another one's is not taken."""

from __future__ import annotations

from typing import Any

from stan_edge.backends import Precision
from stan_edge.backends.openvino_backend import CAPABILITY, OpenVinoBackend, the_core
from stan_edge.errors import BackendUnavailableError


class OpenVinoGpuBackend(OpenVinoBackend):
    name = "openvino-gpu"
    device = "GPU"

    def __init__(self, core: Any, precision: Precision) -> None:
        super().__init__(core, precision, 0)
        self._config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}


def open_engine(precision: Precision, _threads: int) -> OpenVinoGpuBackend:
    """Raises BackendUnavailableError without an Intel GPU, or where it cannot compute at the precision."""
    core = the_core()
    if "GPU" not in {device.partition(".")[0] for device in core.available_devices}:
        raise BackendUnavailableError(
            "OpenVINO finds no Intel GPU on this machine; use --backend openvino, or install Intel's compute runtime "
            "(on Debian and Ubuntu: apt install intel-opencl-icd)."
        )
    if CAPABILITY[precision] not in core.get_property("GPU", "OPTIMIZATION_CAPABILITIES"):
        raise BackendUnavailableError(
            f"Backend openvino-gpu cannot compute in {precision} on this GPU; use f16 or f32."
        )
    return OpenVinoGpuBackend(core, precision)
