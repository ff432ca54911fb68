"""Writes the deployable graphs of a model: one forward, and one for each method that explains.

Every graph takes `frames`, uint8 `[B, T, H, W, 3]` RGB, and gives `logits`, float32 `[B, classes]`, for any B. The
explaining ones add `frame_scores` `[B, T]` (raw, before de-aliasing and scaling) and a coarse `map`
`[B, T, h, w]`; the class-specific ones also take `class_index`, int64 `[B]`, where -1 is the predicted class.
`smoothgrad` also takes `noise`, float32 `[samples, T, H, W, 3]` in gray levels, see `stan_edge.smoothgrad`; the
graph of `streaming` is that of `smoothgrad` with one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from stan_edge.errors import ConfigError
from stan_edge.model.bundle import graph_file
from stan_edge.model.contract import FORMS, METHODS, Form, InputSpec, Method
from stan_export.builder import GraphBuilder
from stan_export.convolutions import Convolutions, Planes, Volumes
from stan_export.external_data import save_graphs
from stan_export.gradient import Grid, transposed
from stan_export.inference_form import InferenceForm, inference_form
from stan_export.network import PATCH, Trunk, check_input, head, trunk
from stan_export.smoothgrad import SAMPLES, smoothed
from stan_train.model import Stan

CLASS_SPECIFIC: frozenset[Method] = frozenset({"vanilla", "smoothgrad", "streaming", "gradcam", "staa-grad"})
"""Methods whose graph takes `class_index`."""
BATCH = "batch"
"""Name of the one dimension that is not static."""
Shape = Sequence[int | str]
MAP_CELL, TOKEN_CELL = 16, 32
"""Side of a cell of a gradient's map in pixels.

Cells of the other maps are stage-4 tokens, 32 pixels from the upper left corner on; when the size is no
multiple of 32 the last 16 rows and columns are in no token (112 pixels: 3 cells a row).
"""
SEED = 1024.0
"""The gradient is seeded with a power of two and divided by it at the end: per-token gradients of 1e-5 would
be subnormal in float16; in float32 and bfloat16 it changes no bit."""


@dataclass(frozen=True)
class Explanation:
    """Values of an explain graph before they become outputs."""

    frame_scores: str  # [B, T]
    map: str  # [B, T, h, w]
    cells: tuple[int, int]
    """Height and width of the map."""


def export_graphs(
    model: Stan,
    input: InputSpec,  # noqa: A002
    folder: Path,
    *,
    samples: int = SAMPLES,
) -> tuple[Path, ...]:
    """Write `forward.onnx`, `explain-*.onnx` and the `weights.bin` they share; return their paths.

    All shapes but the batch are static.

    Args:
        samples: the number of noisy copies of SmoothGrad.

    Raises:
        ConfigError: a window shape or number of copies the graphs do not take.
    """
    check_input(input)
    if samples < 1:
        raise ConfigError(f"samples is {samples}; give at least 1.")
    weights = inference_form(model)
    graphs = {
        graph_file(method, form): _graph(weights, form, input, samples, method)
        for form in FORMS
        for method in (None, *METHODS)
    }
    folder.mkdir(parents=True, exist_ok=True)
    return save_graphs(graphs, folder)


def _graph(weights: InferenceForm, form: Form, spec: InputSpec, samples: int, method: Method | None) -> onnx.ModelProto:
    g = GraphBuilder()
    convolutions = CONVOLUTIONS[form](g)
    window = (spec.frames, spec.size_px, spec.size_px, 3)
    inputs: dict[str, tuple[int, Shape]] = {"frames": (TensorProto.UINT8, (BATCH, *window))}
    pixels = g.node("Cast", "frames", to=TensorProto.FLOAT)  # first: TensorRT takes uint8 into nothing but a Cast
    if method in ("smoothgrad", "streaming"):
        samples = samples if method == "smoothgrad" else 1
        inputs["noise"] = (TensorProto.FLOAT, (samples, *window))
        network = smoothed(g, convolutions, weights, pixels, "noise", spec, samples)
    else:
        network = trunk(g, convolutions, weights, pixels, spec)
    logits = head(g, weights, network.features)
    outputs: dict[str, tuple[str, Shape]] = {"logits": (logits, (BATCH, len(weights.head.bias)))}
    if method is not None:
        if method in CLASS_SPECIFIC:
            inputs["class_index"] = (TensorProto.INT64, (BATCH,))
        explanation = _EXPLAINERS[method](g, weights, network, logits)
        outputs["frame_scores"] = (explanation.frame_scores, (BATCH, spec.frames))
        outputs["map"] = (explanation.map, (BATCH, spec.frames, *explanation.cells))
    return g.model(f"stan-{method or 'forward'}", inputs, outputs)


def _gradient(g: GraphBuilder, weights: InferenceForm, network: Trunk, logits: str) -> Explanation:
    """|d logit / d pixel|, averaged over channels and the pixels of a cell or a frame."""
    stem = network.stem_grid
    gradient = network.to_patches(network.to_stem(_dfeatures(g, weights, network, logits)))
    sides = [
        g.reduce("ReduceMean", g.node("Abs", side), -1) for side in (gradient.even, gradient.odd)
    ]  # [B, T/2, h*w] each
    x = _interleave(g, *sides)  # [B, T/2, 2, h*w]
    x = g.node("Mul", g.reshape(x, -1, 2 * stem.t, stem.h, stem.w), g.scalar(1 / SEED))
    pool = MAP_CELL // PATCH
    x = g.node("AveragePool", x, kernel_shape=[pool, pool], strides=[pool, pool])
    return Explanation(g.reduce("ReduceMean", x, 2, 3), x, (stem.h // pool, stem.w // pool))


def _gradcam(g: GraphBuilder, weights: InferenceForm, network: Trunk, logits: str) -> Explanation:
    """Grad-CAM on the output of the final norm. The head is mean -> Linear, so that this is the
    class-activation map `ReLU(sum_c W[y, c] F[c])` (arXiv 1512.04150): no backward pass."""
    grid = network.grid
    one_hot = _one_hot(g, weights, logits)
    weight = g.node("MatMul", one_hot, transposed(g, weights.head.weight))  # [B, C]
    offset = g.node("MatMul", one_hot, g.constant(weights.cam_offset[:, None]))  # [B, 1]
    cam = g.node("MatMul", network.features, g.reshape(weight, -1, len(weights.head.weight), 1))  # [B, N, 1]
    cam = g.node("Add", g.reshape(cam, -1, grid.tokens), offset)
    cells = _token_frames_to_frames(g, g.node("Relu", cam), grid)
    return Explanation(g.reduce("ReduceMean", cells, 2, 3), cells, (grid.h, grid.w))


def _staa(g: GraphBuilder, _weights: InferenceForm, network: Trunk, _logits: str) -> Explanation:
    """Softmax attention that a token of the last block receives, mean over heads and queries (after
    arXiv 2411.00630; there is no class token). It is the same for every class."""
    received = g.reduce("ReduceMean", network.softmax, 1, 2)  # [B, N]
    cells = _token_frames_to_frames(g, received, network.grid)
    return Explanation(g.reduce("ReduceSum", cells, 2, 3), cells, (network.grid.h, network.grid.w))


def _staa_grad(g: GraphBuilder, weights: InferenceForm, network: Trunk, logits: str) -> Explanation:
    """The same attention A, each entry times its gradient where that speaks for the class: ReLU(dlogit/dA * A), mean
    over heads and queries (after arXiv 2103.15679)."""
    gradient = network.to_softmax(_dfeatures(g, weights, network, logits))
    speaking = g.node("Relu", g.node("Mul", gradient, network.softmax))
    received = g.node("Mul", g.reduce("ReduceMean", speaking, 1, 2), g.scalar(1 / SEED))  # [B, N]
    cells = _token_frames_to_frames(g, received, network.grid)
    return Explanation(g.reduce("ReduceSum", cells, 2, 3), cells, (network.grid.h, network.grid.w))


CONVOLUTIONS: dict[Form, Callable[[GraphBuilder], Convolutions]] = {"volumes": Volumes, "planes": Planes}

_EXPLAINERS: dict[Method, Callable[[GraphBuilder, InferenceForm, Trunk, str], Explanation]] = {
    "vanilla": _gradient,
    "smoothgrad": _gradient,
    "streaming": _gradient,
    "gradcam": _gradcam,
    "staa": _staa,
    "staa-grad": _staa_grad,
}


def _dfeatures(g: GraphBuilder, weights: InferenceForm, network: Trunk, logits: str) -> str:
    """Gradient `[B, 1, C]` of the class's logit with respect to the features of any token, times `SEED`."""
    seed = g.node("Mul", _one_hot(g, weights, logits), g.scalar(SEED / network.grid.tokens))  # [B, classes]
    dpooled = g.node("MatMul", seed, transposed(g, weights.head.weight))  # [B, C]
    return g.reshape(dpooled, -1, 1, len(weights.head.weight))


def _one_hot(g: GraphBuilder, weights: InferenceForm, logits: str) -> str:
    """float32 `[B, classes]` from `class_index`, -1 being the predicted class."""
    classes = g.constant(np.arange(len(weights.head.bias), dtype=np.int64))
    predicted = g.node("ArgMax", logits, axis=1, keepdims=0)  # [B]
    wants_predicted = g.node("Less", "class_index", g.constant(np.int64(0)))
    index = g.node("Where", wants_predicted, predicted, "class_index")
    hit = g.node("Equal", g.reshape(index, -1, 1), classes)
    return g.node("Cast", hit, to=TensorProto.FLOAT)


def _token_frames_to_frames(g: GraphBuilder, tokens: str, grid: Grid) -> str:
    """`[B, N]` to `[B, T, h, w]`: frame 2k is in token k only, frame 2k+1 in tokens k and k+1."""
    even = g.reshape(tokens, -1, grid.t, grid.cells)
    following = np.minimum(np.arange(1, grid.t + 1, dtype=np.int64), grid.t - 1)
    later = g.node("Gather", even, g.constant(following), axis=1)
    odd = g.node("Mul", g.node("Add", even, later), g.scalar(0.5))
    return g.reshape(_interleave(g, even, odd), -1, 2 * grid.t, grid.h, grid.w)


def _interleave(g: GraphBuilder, even: str, odd: str) -> str:
    """Two `[B, T/2, cells]` to `[B, T/2, 2, cells]`."""
    axis = g.constant(np.array([2], np.int64))
    return g.node("Concat", *(g.node("Unsqueeze", x, axis) for x in (even, odd)), axis=2)
