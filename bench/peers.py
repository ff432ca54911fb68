"""Forward and gradient against what one would take instead, all in one process, in turns.

    python bench/peers.py [--variant stan-t --size 112] [--runs 30] [--out bench/results/peers-stan-t-112.md]

Eager PyTorch with captum, `torch.compile`, PyTorch's own ONNX export on ONNX Runtime, and our graphs on ONNX Runtime
and OpenVINO; the roofline is a product of two matrices on the same threads, by PyTorch and by OpenVINO. Weights are
random: they change no time.
No figure without parity: frame scores are compared with float64 autograd on the same window.
"""

from __future__ import annotations

import logging
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import psutil
import torch
import typer
from captum.attr import Saliency
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stan_bench.pure import alternate
from stan_edge.backends.base import Backend
from stan_edge.backends.openvino import ov, the_core
from stan_edge.backends.registry import open_backend
from stan_edge.errors import BackendUnavailableError
from stan_edge.model.bundle import graph_file
from stan_edge.model.contract import Form, InputSpec, Method
from stan_edge.pipeline.smoothgrad import noise
from stan_export.graphs import export_graphs
from stan_export.inference_form import fold_batchnorm
from stan_export.parity import record
from stan_train.model import Stan, variant

WARM_UP, PAUSE_S = 3, 0.05
SIDE = 2048
"""Of the matrices in the roofline."""
Contenders = dict[str, Callable[[], Any]]


def main(
    name: Annotated[str, typer.Option("--variant")] = "stan-t",
    size: Annotated[int, typer.Option(help="Side of the network's input in pixels.")] = 112,
    runs: Annotated[int, typer.Option(min=5)] = 30,
    smoothgrad: Annotated[
        bool, typer.Option(help="With SmoothGrad; its eight copies at once take 30 GB in all for stan-s at 224 pixels.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write.")] = None,
) -> None:
    methods: tuple[Method, ...] = ("vanilla", "gradcam", "smoothgrad") if smoothgrad else ("vanilla", "gradcam")
    spec = InputSpec(
        frames=20, window_s=2.0, size_px=size, view="blend", framing="follow", region="box", mean=0.45, std=0.225
    )
    torch.manual_seed(0)
    model = Stan(variant(name, classes=5)).eval().requires_grad_(False)
    frames = np.random.default_rng(0).integers(0, 256, (1, 20, size, size, 3), np.uint8)
    folded = fold_batchnorm(model).network.float()
    pixels = ((torch.from_numpy(frames).float() / 255 - spec.mean) / spec.std).movedim(-1, 1).contiguous()
    explained = int(folded(pixels)[0].argmax())
    reference = record(model, spec, frames, np.array([explained]), samples=8, methods=methods)
    contenders: Contenders = {}
    errors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _products(contenders)
        _pytorch(contenders, folded, pixels, explained)
        _stock(contenders, folded, pixels, folder / "stock.onnx")
        export_graphs(model, spec, folder, samples=8)
        feeds = {"frames": frames, "class_index": np.array([explained]), "noise": noise(spec, 8)}
        for engine, precision in (("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16")):
            try:
                backend = open_backend(engine, precision)
            except BackendUnavailableError as error:
                print(error)
                continue
            _ours(contenders, errors, backend, folder, feeds, reference, methods)
        order = np.random.default_rng(0)
        alternate(contenders, WARM_UP, PAUSE_S, order)
        spent_ms = {name: np.array(values) for name, values in alternate(contenders, runs, PAUSE_S, order).items()}
    text = _report(name, size, spent_ms, errors, _gflop(folded, pixels))
    print(text)
    if out is not None:
        out.write_text(text, encoding="utf-8")


def _pytorch(contenders: Contenders, network: torch.nn.Module, pixels: Tensor, explained: int) -> None:
    watched = pixels.clone().requires_grad_()
    contenders["forward, PyTorch eager"] = torch.inference_mode()(lambda: network(pixels))
    contenders["vanilla, captum on PyTorch eager"] = lambda: Saliency(network).attribute(watched, target=explained)
    compiled = torch.compile(network)

    def gradient() -> Tensor:
        (found,) = torch.autograd.grad(compiled(watched)[0, explained], watched)
        return found

    try:
        gradient()
    except (RuntimeError, torch._dynamo.exc.BackendCompilerFailed) as error:
        print(f"torch.compile is left out: {str(error).splitlines()[0]}")
        return
    contenders["forward, torch.compile"] = torch.inference_mode()(lambda: compiled(pixels))
    contenders["vanilla, torch.compile"] = gradient


def _stock(contenders: Contenders, network: torch.nn.Module, pixels: Tensor, path: Path) -> None:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (pixels,), path, dynamo=True, verbose=False, input_names=["pixels"])
    logging.disable(logging.NOTSET)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    contenders["forward, PyTorch's export on ONNX Runtime"] = lambda: session.run(None, {"pixels": pixels.numpy()})


def _ours(
    contenders: Contenders,
    errors: dict[str, float],
    backend: Backend,
    folder: Path,
    feeds: dict[str, Any],
    reference: dict[str, Any],
    methods: tuple[Method, ...],
) -> None:
    label = f"{backend.name} {backend.precision}"
    form: Form = "planes" if backend.name == "onnxruntime" else "volumes"
    forward = backend.load(folder / graph_file(None, form))
    contenders[f"forward, {label}"] = lambda: forward(feeds)
    for method in methods:
        graph = backend.load(folder / graph_file(method, form))
        expected = reference[f"scores_{method}"][0]
        found = graph(feeds)["frame_scores"][0]
        errors[f"{method}, {label}"] = float(np.abs(found - expected).max() / np.abs(expected).max())
        contenders[f"{method}, {label}"] = lambda graph=graph: graph(feeds)


def _products(contenders: Contenders) -> None:
    """What the processor gives to who does nothing but multiply."""
    a, b = torch.randn(2, SIDE, SIDE)
    shape = ov.PartialShape([SIDE, SIDE])
    parameter = ov.opset13.parameter(shape, np.float32)
    product = ov.opset13.matmul(parameter, ov.opset13.constant(b.numpy()), False, False)
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = the_core().compile_model(ov.Model([product], [parameter]), "CPU", config).create_infer_request()
    contenders["matrix product, PyTorch"] = lambda: torch.mm(a, b)
    contenders["matrix product, OpenVINO"] = lambda: request.infer([a.numpy()], share_inputs=True)


def _gflop(network: torch.nn.Module, pixels: Tensor) -> dict[str, float]:
    """Of products and convolutions. The input gradient of a linear map costs what the map does, that of attention's two
    products twice what they do."""
    with FlopCounterMode(display=False) as counter:
        network(pixels)
    by_operator = {str(operator): flops / 1e9 for operator, flops in counter.get_flop_counts()["Global"].items()}
    forward = sum(by_operator.values())
    attention = sum(gflop for name, gflop in by_operator.items() if "bmm" in name or "attention" in name)
    return {"forward": forward, "explain": 2 * forward + attention}


def _report(
    name: str,
    size: int,
    spent_ms: dict[str, np.ndarray],
    errors: dict[str, float],
    work: dict[str, float],
) -> str:
    lines = [
        f"# {name}, {size} pixels, one window of 20 frames",
        "",
        "| | median ms | fastest ms | frame scores off by |",
        "|---|---:|---:|---:|",
    ]
    for key, values in spent_ms.items():
        error = f"{errors[key]:.1e}" if key in errors else "-"
        lines.append(f"| {key} | {np.median(values):.1f} | {values.min():.1f} | {error} |")
    ms = {key: float(np.median(values)) for key, values in spent_ms.items()}

    def ratio(over: str, under: str) -> str:
        return f"{ms[over] / ms[under]:.2f}" if over in ms and under in ms else "-"

    peaks = {engine: 2e-6 * SIDE**3 / ms[f"matrix product, {engine}"] for engine in ("PyTorch", "OpenVINO")}

    def share(part: str, key: str, engine: str) -> str:
        return f"{work[part] / ms[key] * 1e3 / peaks[engine]:.2f}" if key in ms else "-"

    own, half, other = "openvino f32", "openvino bf16", "onnxruntime f32"
    captum = "vanilla, captum on PyTorch eager"
    smooth = f"{ms[f'smoothgrad, {own}'] / (8 * ms[f'vanilla, {own}']):.2f}" if f"smoothgrad, {own}" in ms else "-"
    lines += [
        "",
        "| ratio of medians | reach | here |",
        "|---|---:|---:|",
        f"| vanilla / forward, {own} | <= 2.2 | {ratio(f'vanilla, {own}', f'forward, {own}')} |",
        f"| captum on eager / vanilla, {own} | >= 4.5 | {ratio(captum, f'vanilla, {own}')} |",
        f"| captum on eager / vanilla, {half} | >= 8 | {ratio(captum, f'vanilla, {half}')} |",
        f"| torch.compile / vanilla, {own} | - | {ratio('vanilla, torch.compile', f'vanilla, {own}')} |",
        f"| forward, {own}, share of PyTorch's matrix product | >= 0.85 "
        f"| {share('forward', f'forward, {own}', 'PyTorch')} |",
        f"| vanilla, {own}, share of the same | >= 0.8 | {share('explain', f'vanilla, {own}', 'PyTorch')} |",
        f"| forward, {own}, share of OpenVINO's own | - | {share('forward', f'forward, {own}', 'OpenVINO')} |",
        f"| vanilla, {own}, share of the same | - | {share('explain', f'vanilla, {own}', 'OpenVINO')} |",
        f"| vanilla, ONNX Runtime / OpenVINO f32 | <= 1.3 | {ratio(f'vanilla, {other}', f'vanilla, {own}')} |",
        f"| smoothgrad n = 8 / 8 vanilla, {own} | <= 0.75 | {smooth} |",
        f"| gradcam / forward, {own} | <= 1.05 | {ratio(f'gradcam, {own}', f'forward, {own}')} |",
        "",
        f"{len(next(iter(spent_ms.values())))} runs each, in one process, in another order each time; "
        f"{psutil.cpu_count()} shared processors, {torch.get_num_threads()} threads of PyTorch; float32 matrix "
        f"products {peaks['PyTorch']:.0f} and {peaks['OpenVINO']:.0f} GFLOP/s; forward "
        f"{work['forward']:.1f} GFLOP, with the gradient {work['explain']:.1f}; torch {torch.__version__}, "
        f"random weights; {date.today():%Y-%m-%d}.",
        "",
        f"`python {shlex.join(sys.argv)}`",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
