from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stan_edge.backends.registry import BACKENDS, open_backend
from stan_edge.errors import BackendError, BackendUnavailableError, ConfigError
from stan_edge.model.bundle import Bundle
from stan_edge.pipeline.predictor import Explainer
from stan_export.graphs import export_graphs
from stan_train.model import Stan
from tests.stan_export.conftest import TINY, window


def test_a_backend_that_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="No backend is called 'cuda'; choose auto, openvino or onnxruntime"):
        open_backend("cuda")


def test_a_precision_that_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="No precision is called 'int8'; choose one of f32, bf16, f16"):
        open_backend("onnxruntime", "int8")


@pytest.mark.parametrize("name", BACKENDS)
def test_what_was_asked_for_is_what_runs(name: str) -> None:
    backend = open_backend(name, threads=1)
    assert (backend.name, backend.precision, backend.device, backend.fallback) == (name, "f32", "CPU", False)


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_a_precision_that_the_engine_does_not_have_is_an_error(precision: str) -> None:
    with pytest.raises(BackendUnavailableError, match=f"onnxruntime computes in f32 on the CPU, not in {precision}"):
        open_backend("onnxruntime", precision)


@pytest.mark.parametrize("name", BACKENDS)
def test_outputs_keep_their_names_whatever_the_engine_optimises_away(name: str, tmp_path: Path) -> None:
    """A head whose bias is zero, as before any training: the addition goes, and its name with it."""
    torch.manual_seed(0)
    spec = window(48, 6)
    export_graphs(Stan(TINY).eval(), spec, tmp_path, samples=1)
    graph = open_backend(name, threads=1).load(tmp_path / "explain-vanilla.onnx")
    frames = np.zeros((1, spec.frames, spec.size_px, spec.size_px, 3), np.uint8)
    assert set(graph({"frames": frames, "class_index": np.array([0])})) == {"logits", "frame_scores", "map"}


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "stan_edge.backends.openvino", raising=False)


@pytest.mark.usefixtures("without_openvino")
def test_a_missing_engine_says_which_extra_brings_it() -> None:
    with pytest.raises(BackendUnavailableError, match=r"pip install 'stan-edge\[openvino\]'"):
        open_backend("openvino")


@pytest.mark.usefixtures("without_openvino")
def test_another_engine_runs_only_when_that_was_allowed_and_it_says_so() -> None:
    backend = open_backend("openvino", threads=1, allow_fallback=True)
    assert (backend.name, backend.fallback) == ("onnxruntime", True)


@pytest.mark.usefixtures("without_openvino")
def test_auto_takes_what_is_installed_and_that_is_no_fallback() -> None:
    backend = open_backend("auto", threads=1)
    assert (backend.name, backend.fallback) == ("onnxruntime", False)


@pytest.mark.usefixtures("without_openvino")
def test_a_fallback_never_changes_the_precision() -> None:
    with pytest.raises(BackendUnavailableError, match="not in bf16"):
        open_backend("openvino", "bf16", allow_fallback=True)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_damaged_or_missing_graph_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "forward.onnx").write_bytes(b"not a graph")
    for path in (tmp_path / "forward.onnx", tmp_path / "nowhere.onnx"):
        with pytest.raises(BackendError, match=f"cannot load .*{path.name}") as refused:
            open_backend(name, threads=1).load(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", BACKENDS)
def test_results_stay_as_they_are_when_the_engine_runs_again(tiny_bundle: Bundle, name: str) -> None:
    explainer = Explainer(tiny_bundle, open_backend(name, threads=1), "vanilla")
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 20, 64, 64, 3), np.uint8)
    first = explainer(one)
    kept = first.frame_scores.copy()
    explainer(other)
    assert np.array_equal(first.frame_scores, kept)
    assert np.array_equal(explainer(one).frame_scores, kept)


def test_a_signal_finds_its_stack_after_an_engine_has_gone_in_another_thread() -> None:
    """OpenVINO unmaps the stack that it gave a thread for signals; the next one was a segmentation fault."""
    script = """
import gc, os, signal, threading
from stan_edge.backends.registry import open_backend
signal.signal(signal.SIGUSR1, lambda *_: print("alive"))
held = [open_backend("openvino", threads=1)]
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "alive\n"
