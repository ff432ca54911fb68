"""Backends on a GPU. The first part is about machines without one; the second runs on a real one or is skipped."""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from stan_edge.backends import registry
from stan_edge.backends.base import PRECISIONS, Backend
from stan_edge.backends.cuda import Buffer, CudaDevice, find_gpu, has_gpu
from stan_edge.backends.onnxruntime import PROVIDER as CPU
from stan_edge.backends.onnxruntime import nodes_in, placement_of
from stan_edge.backends.onnxruntime_cuda import CUDA, BoundGraph, refuse_nodes_on_cpu, refuse_other_provider
from stan_edge.backends.registry import BACKENDS, GPU_BACKENDS, candidates, open_backend
from stan_edge.backends.tensorrt.cache import engines_folder
from stan_edge.errors import BackendError, BackendFallbackError, BackendUnavailableError, ConfigError, EngineFileError
from stan_edge.model.bundle import Bundle, methods_of, open_bundle, shipped_bundle
from stan_edge.model.contract import METHODS, Method
from stan_edge.parity import open_proven, replay
from stan_edge.pipeline.predictor import Explainer

no_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@no_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", GPU_BACKENDS)
def test_without_a_gpu_every_backend_for_one_says_so(name: str, precision: str) -> None:
    with pytest.raises(BackendUnavailableError) as refused:
        open_backend(name, precision)
    said = str(refused.value)
    assert said.startswith(("This machine has no NVIDIA GPU", "CUDA's driver is here but shows no GPU"))
    assert "use --backend auto" in said
    assert said.count(".") <= 4
    assert "\n" not in said


@no_gpu
def test_without_a_gpu_another_engine_runs_only_when_that_was_allowed() -> None:
    backend = open_backend("tensorrt", threads=1, allow_fallback=True)
    assert (backend.name, backend.fallback) == ("openvino", True)


@no_gpu
def test_without_a_gpu_auto_is_as_it_was_and_loads_nothing_for_one() -> None:
    heavy = ("tensorrt", "tensorrt_rtx", "cuda", "onnx", "stan_edge.backends.tensorrt.library")
    code = (
        "import sys; from stan_edge.backends.registry import candidates, open_backend\n"
        "backend = open_backend(threads=1)\n"
        f"print(backend.name, candidates() == {tuple(BACKENDS)}, [m for m in {heavy} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[-2] == "openvino True []"


def test_auto_tries_the_gpu_first_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "has_gpu", lambda: True)
    assert candidates() == (*GPU_BACKENDS, *BACKENDS)
    assert candidates("onnxruntime") == ("onnxruntime",)


def test_a_driver_that_shows_no_gpu_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A real library in the driver's place, as in a container without the device: every call fails."""
    source = tmp_path / "driver.c"
    source.write_text("int cuInit(unsigned flags) { return 100; } int cuDeviceGetCount(int *n) { return 3; }\n")
    driver = tmp_path / "libcuda.so.1"
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", driver, source], check=False).returncode:
        pytest.skip("no C compiler")
    with pytest.raises(BackendUnavailableError, match="CUDA's driver is here but shows no GPU; look at nvidia-smi"):
        find_gpu(str(driver))


def test_a_gpu_is_told_by_name_and_compute_capability(tmp_path: Path) -> None:
    """The same with a driver that answers."""
    source = tmp_path / "driver.c"
    source.write_text(
        "#include <string.h>\n"
        "int cuInit(unsigned flags) { return 0; } int cuDeviceGetCount(int *n) { *n = 1; return 0; }\n"
        "int cuDeviceGet(int *device, int number) { *device = 5; return number; }\n"
        'int cuDeviceGetName(char *name, int size, int device) { strcpy(name, "Orin"); return device != 5; }\n'
        "int cuDeviceGetAttribute(int *v, int a, int device) { *v = a == 75 ? 8 : a == 76 ? 7 : 0; return device != 5;}"
    )
    driver = tmp_path / "libcuda.so.1"
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", driver, source], check=False).returncode:
        pytest.skip("no C compiler")
    assert str(find_gpu(str(driver))) == "Orin (compute capability 8.7)"
    assert ctypes.CDLL(str(driver)).cuInit(0) == 0


@no_gpu
def test_calls_to_cuda_that_fail_are_sentences() -> None:
    """Real calls of NVIDIA's package, which answers each with the missing driver."""
    runtime = pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(BackendError, match=r"CUDA says: .*; look at nvidia-smi"):
        CudaDevice()
    device = CudaDevice.__new__(CudaDevice)
    device._cuda, device.stream = runtime, 0
    buffer = Buffer(4096, np.zeros(8, np.uint8))
    calls = (
        lambda: device.allocate(8),
        lambda: device.upload(buffer, 8),
        lambda: device.download(buffer, 8),
        device.synchronize,
    )
    for call in calls:
        with pytest.raises(BackendError, match="CUDA says: CUDA driver version is insufficient"):
            call()


class Elsewhere:
    """An engine of ONNX Runtime whose logits are off, under the name of one on a GPU."""

    name, version, precision, device, fallback = "tensorrt", "0", "f32", "GPU", False

    def load(self, path: Path) -> Any:
        graph = open_backend("onnxruntime", threads=1).load(path)

        class Off:
            inputs = graph.inputs

            def __call__(self, feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
                out = graph(feeds)
                return out | {"logits": out["logits"] + 1}

        return Off()


@pytest.fixture
def wrong_on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "has_gpu", lambda: True)
    real = registry.open_candidate

    def opened(name: str, precision: str, *, threads: int = 0) -> Any:
        return Elsewhere() if name == "tensorrt" else real(name, precision, threads=threads)

    monkeypatch.setattr("stan_edge.parity.open_candidate", opened)


@pytest.mark.usefixtures("wrong_on_gpu")
def test_auto_leaves_an_engine_on_the_gpu_that_is_wrong_and_says_so(
    tiny_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    backend, (explainer,) = open_proven(tiny_bundle, ("vanilla",), threads=1)
    assert (backend.name, backend.fallback, explainer.method) == ("openvino", False, "vanilla")
    assert "Backend tensorrt (f32) does not reproduce model tiny" in caplog.text


@pytest.mark.usefixtures("wrong_on_gpu")
def test_a_wrong_engine_that_was_asked_for_is_an_error_unless_a_fallback_is_allowed(tiny_bundle: Bundle) -> None:
    with pytest.raises(Exception, match=r"Backend tensorrt \(f32\) does not reproduce"):
        open_proven(tiny_bundle, ("vanilla",), "tensorrt")
    backend, _ = open_proven(tiny_bundle, ("vanilla",), "tensorrt", threads=1, allow_fallback=True)
    assert (backend.name, backend.fallback) == ("openvino", True)


@pytest.mark.parametrize("name", GPU_BACKENDS)
def test_every_backend_is_known_by_name(name: str) -> None:
    assert candidates(name) == (name,)
    with pytest.raises(ConfigError, match=f"or for a GPU .*{name}"):
        candidates("gpu")


def session(path: Path, tmp_path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "run")
    return ort.InferenceSession(path, options, providers=[CPU])


@pytest.mark.parametrize("method", METHODS)
def test_bound_memory_gives_what_a_plain_run_gives(standard_bundle: Bundle, tmp_path: Path, method: Method) -> None:
    """On the processor's memory here, through the same calls as on the GPU's."""

    class Bound:
        name, version, precision, device, fallback = "onnxruntime-cuda", ort.__version__, "f32", "CPU", False

        def load(self, path: Path) -> BoundGraph:
            return BoundGraph(session(path, tmp_path), "cpu")

    bound, plain = (Explainer(standard_bundle, backend, method) for backend in (Bound(), open_backend("onnxruntime")))
    windows = np.random.default_rng(0).integers(0, 256, (3, 20, 64, 64, 3), np.uint8)
    found = [bound(window) for window in windows]
    for window, one in zip(windows, found, strict=True):
        expected = plain(window)
        for name in ("logits", "frame_scores", "map"):
            np.testing.assert_allclose(getattr(one, name), getattr(expected, name), rtol=1e-5, atol=1e-7)


def test_nodes_that_compute_on_the_processor_are_a_fallback(tiny_bundle: Bundle, tmp_path: Path) -> None:
    opened = session(tiny_bundle.forward(), tmp_path)
    graph = BoundGraph(opened, "cpu")
    graph(graph.zeros())
    ran = nodes_in(Path(opened.end_profiling()))
    assert placement_of(ran).providers == {CPU: len(ran)}
    with pytest.raises(
        BackendFallbackError, match=r"onnxruntime-cuda would compute .* nodes on the processor"
    ) as refused:
        refuse_nodes_on_cpu("onnxruntime-cuda", ran)
    assert "MatMul" in str(refused.value) or "Gemm" in str(refused.value) or "Add" in str(refused.value)
    shapes = [node for node in ran if not any("float" in kind for entry in node["output_type_shape"] for kind in entry)]
    refuse_nodes_on_cpu("onnxruntime-cuda", shapes + [node | {"provider": CUDA} for node in ran])


def test_a_session_that_took_another_provider_is_a_fallback() -> None:
    refuse_other_provider("onnxruntime-cuda", CUDA, [CUDA, CPU])
    with pytest.raises(
        BackendFallbackError, match="would run on CPUExecutionProvider instead of CUDAExecutionProvider"
    ):
        refuse_other_provider("onnxruntime-cuda", CUDA, [CPU])


# ---- on a real GPU; none of it has run yet ----

EVERY_ENGINE = [(name, precision) for name in GPU_BACKENDS for precision in PRECISIONS]


@pytest.fixture(params=EVERY_ENGINE, ids=" ".join)
def on_gpu(request: pytest.FixtureRequest) -> Backend:
    name, precision = request.param
    try:
        return open_backend(name, precision)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu_the_float64_recordings_are_reproduced(tiny_bundle: Bundle, on_gpu: Backend, method: Method) -> None:
    row = replay(tiny_bundle, on_gpu, Explainer(tiny_bundle, on_gpu, method))
    assert row.tolerance == (1e-4 if on_gpu.precision == "f32" else 2e-2)
    if on_gpu.precision != "bf16":  # eight bits are too few for some methods; `run` refuses those
        assert row.passed, row


@pytest.mark.gpu
def test_on_a_gpu_the_shipped_model_passes_by_every_method(on_gpu: Backend) -> None:
    bundle = open_bundle(shipped_bundle())
    for method in methods_of(bundle) if on_gpu.precision != "bf16" else ("gradcam",):
        row = replay(bundle, on_gpu, Explainer(bundle, on_gpu, method))
        assert row.passed, row


@pytest.mark.gpu
def test_on_a_gpu_results_stay_as_they_are_when_the_engine_runs_again(tiny_bundle: Bundle, on_gpu: Backend) -> None:
    explainer = Explainer(tiny_bundle, on_gpu, "vanilla")
    one, other = np.random.default_rng(0).integers(0, 256, (2, 20, 64, 64, 3), np.uint8)
    first = explainer(one)
    kept = first.frame_scores.copy()
    assert not np.array_equal(explainer(other).frame_scores, kept)
    assert np.array_equal(first.frame_scores, kept)
    np.testing.assert_allclose(explainer(one).frame_scores, kept, rtol=1e-3)


@pytest.mark.gpu
def test_on_a_gpu_a_cached_engine_is_used_and_a_damaged_one_refused(
    tiny_bundle: Bundle, on_gpu: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="stan_edge")
    if not on_gpu.name.startswith("tensorrt"):
        pytest.skip(f"{on_gpu.name} keeps no engines of ours")
    on_gpu.load(tiny_bundle.forward())
    assert "building the" in caplog.text
    caplog.clear()
    on_gpu.load(tiny_bundle.forward())
    assert "building the" not in caplog.text
    folder = engines_folder()
    assert folder is not None
    (engine,) = folder.rglob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    with pytest.raises(EngineFileError, match=r"stan-edge engine .* --force"):
        on_gpu.load(tiny_bundle.forward())
