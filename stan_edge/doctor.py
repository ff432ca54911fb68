"""What works on this machine, tried rather than looked up."""

from __future__ import annotations

import os
import platform
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from stan_edge.backends.base import PRECISIONS
from stan_edge.backends.registry import BACKENDS, GPU_BACKENDS, candidates, open_backend
from stan_edge.errors import StanEdgeError
from stan_edge.model.bundle import Bundle, open_bundle, shipped_bundle
from stan_edge.parity import replay
from stan_edge.pipeline.predictor import Explainer


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    works: bool
    found: str
    needed: bool = True
    """`stan-edge run` cannot do its main job without it."""


def examine() -> list[Finding]:
    """Try everything that `run` uses."""
    return [_machine(), _video(), _person(), *_model(), _cameras(), _screen()]


def _machine() -> Finding:
    memory_gib = psutil.virtual_memory().total / 2**30
    text = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
    return Finding("machine", True, text + f"{psutil.cpu_count()} processors, {memory_gib:.0f} GiB")


def _video() -> Finding:
    try:
        import cv2
    except ImportError as error:
        return Finding("video", False, f"{error}; on Debian: apt install libgl1 libglib2.0-0")
    apis = [cv2.videoio_registry.getBackendName(api) for api in cv2.videoio_registry.getBackends()]
    return Finding("video", "FFMPEG" in apis, f"OpenCV {cv2.__version__} with {', '.join(apis)}")


def _person() -> Finding:
    from stan_edge.person.detection import MediapipeDetector
    from stan_edge.sources import demo_clip, open_source

    try:
        with closing(MediapipeDetector()) as detector, closing(open_source(str(demo_clip()))) as source:
            frame = source.read()
            found = frame is not None and detector.find(frame.image, None) is not None
    except StanEdgeError as error:
        return Finding("person", False, str(error))
    return Finding("person", found, "MediaPipe finds the person in the demo clip" if found else "nobody found")


def _model() -> list[Finding]:
    try:
        bundle = open_bundle(shipped_bundle())
    except StanEdgeError as error:
        return [Finding("model", False, str(error))]
    contract = bundle.contract
    text = f"{contract.name}: {', '.join(contract.classes)}; digests right"
    return [Finding("model", True, text), *_backends(bundle)]


def _backends(bundle: Bundle) -> list[Finding]:
    findings = [_backend(bundle, name, precision) for name in BACKENDS for precision in PRECISIONS]
    for name in GPU_BACKENDS:
        tried = [_backend(bundle, name, precision) for precision in PRECISIONS]
        reasons = {finding.found for finding in tried}
        same = not any(finding.works for finding in tried) and len(reasons) == 1
        findings += [Finding(name, False, reasons.pop(), needed=False)] if same else tried
    usable = {finding.what for finding in findings if finding.works}
    works = [what for name in candidates() if (what := f"{name} f32") in usable]
    text = f"{works[0]} is used by default" if works else "none works; run: pip install 'stan-edge[openvino]'"
    return [*findings, Finding("backend", bool(works), text)]


def _backend(bundle: Bundle, name: str, precision: str) -> Finding:
    what = f"{name} {precision}"
    try:
        backend = open_backend(name, precision)
        row = replay(bundle, backend, Explainer(bundle, backend, "vanilla"))
    except StanEdgeError as error:
        return Finding(what, False, str(error), needed=False)
    errors = f"frame scores within {row.scores_error:.0e} of float64 (allowed {row.tolerance:.0e})"
    return Finding(what, row.passed, f"{backend.version}, {errors}", needed=False)


def _cameras() -> Finding:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    return Finding("cameras", bool(devices), ", ".join(devices) or "no /dev/video*; files and URLs work", needed=False)


def _screen() -> Finding:
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return Finding("screen", bool(screen), screen or "none; --display needs one", needed=False)
