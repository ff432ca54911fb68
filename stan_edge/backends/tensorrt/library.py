"""Which of the two libraries is here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stan_edge.errors import BackendUnavailableError

LIBRARIES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Module by the name of the backend, which is also that of the extra."""


AHEAD = "tensorrt-rtx"
"""Builds for GPUs that are not here, so that its engines are the same on every machine."""


def import_library(backend: str) -> Any:
    """The module of a backend.

    Raises:
        BackendUnavailableError: it is not installed, or its own libraries cannot be loaded.
    """
    try:
        return import_module(LIBRARIES[backend])
    except ImportError as error:
        title = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT for RTX"}[backend]
        raise BackendUnavailableError(
            f"{title} cannot be imported ({str(error).splitlines()[0]}); run: pip install 'stan-edge[{backend}]' "
            "(on a Jetson it is JetPack's own: make the virtual environment with --system-site-packages)."
        ) from error
