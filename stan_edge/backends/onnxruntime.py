"""ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stan_edge.backends.base import Placement, Precision
from stan_edge.errors import BackendError, BackendFallbackError, BackendUnavailableError

# 1.29 and later send usage data from Linux by default and write a device id at import
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeGraph:
    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs = tuple(entry.name for entry in session.get_inputs())
        self._outputs = [entry.name for entry in session.get_outputs()]

    def __call__(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        values = self._session.run(self._outputs, {name: feeds[name] for name in self.inputs})
        return dict(zip(self._outputs, values, strict=True))


class OnnxRuntimeBackend:
    name = "onnxruntime"
    version: str = ort.__version__
    precision: Precision = "f32"
    device = "CPU"
    fallback = False

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def load(self, path: Path) -> OnnxRuntimeGraph:
        with loading(path):
            session = ort.InferenceSession(path, session_options(self._threads), providers=[PROVIDER])
        if session.get_providers() != [PROVIDER]:
            raise BackendFallbackError(
                f"ONNX Runtime chose {session.get_providers()} instead of {PROVIDER}; install onnxruntime again."
            )
        return OnnxRuntimeGraph(session)

    def placement(self, path: Path, feeds: Mapping[str, NDArray[Any]]) -> Placement:
        """As the profile of one run says: a provider that was asked for may run none of the nodes."""
        with TemporaryDirectory() as folder:
            session = ort.InferenceSession(path, session_options(self._threads, Path(folder)), providers=[PROVIDER])
            OnnxRuntimeGraph(session)(feeds)
            return placement_of(nodes_in(Path(session.end_profiling())))


def session_options(threads: int = 0, profile: Path | None = None) -> ort.SessionOptions:
    """Without warnings; `profile` is a folder for a file that says which nodes ran where."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "run")
    return options


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Whatever ONNX Runtime raises for a graph as one BackendError: its exceptions share no base class of their own."""
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"ONNX Runtime cannot load {path} ({str(error).splitlines()[0]}); "
            "choose another --backend or export the bundle again."
        ) from error


def nodes_in(profile: Path) -> list[dict[str, Any]]:
    """Every node that a profile saw running, as ONNX Runtime describes it."""
    events = json.loads(profile.read_text(encoding="utf-8"))
    return [event["args"] for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]


def placement_of(ran: list[dict[str, Any]]) -> Placement:
    providers, kernels = (Counter(str(node[key]) for node in ran) for key in ("provider", "op_name"))
    return Placement(dict(providers.most_common()), dict(kernels.most_common()))


def open_engine(precision: str, threads: int) -> OnnxRuntimeBackend:
    """Raises BackendUnavailableError for any precision but f32: its CPU kernels compute in float32."""
    if precision != "f32":
        raise BackendUnavailableError(
            f"Backend onnxruntime computes in f32 on the CPU, not in {precision}; use f32 or another --backend."
        )
    return OnnxRuntimeBackend(threads)
