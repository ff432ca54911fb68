"""Mistakes that are easily made in a gradient graph, made on purpose: the recordings of a bundle notice each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stan_edge.backends.base import Backend
from stan_edge.backends.registry import open_backend
from stan_edge.model.bundle import Bundle, open_bundle, write_digests
from stan_edge.model.contract import Method
from stan_edge.parity import ParityRow, replay
from stan_edge.pipeline.predictor import Explainer
from stan_export import gradient, graphs, network, smoothgrad
from stan_export.builder import GraphBuilder
from stan_export.convolutions import Planes, Volumes
from stan_export.network import Trunk
from stan_train.model import Stan

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
FORMS_OF_CONVOLUTION = (Volumes, Planes)


def rewritten(patch: Patch, change: Callable[..., str | None]) -> None:
    """Nodes for which `change(append, op, inputs, attributes)` gives a value become that value."""
    append = GraphBuilder.node

    def node(g: GraphBuilder, op: str, *inputs: str, **attributes: Any) -> str:
        changed = change(lambda *args, **kwargs: append(g, *args, **kwargs), op, inputs, attributes)
        return append(g, op, *inputs, **attributes) if changed is None else changed

    patch.setattr(GraphBuilder, "node", node)


def gradient_padded_by_one_too_many(patch: Patch, _: Bundle) -> None:
    def change(append: Any, op: str, inputs: tuple[str, ...], attributes: Any) -> str | None:
        # convolutions of the way forward have a bias, or (in `planes`) come after one that has
        if op != "Conv" or "pads" not in attributes or not backwards:
            return None
        half, axes = attributes["pads"][0], len(attributes["pads"]) // 2
        return append(op, *inputs, **attributes | {"pads": [half + 1] * axes + [half - 1] * axes})

    backwards = False
    for form in FORMS_OF_CONVOLUTION:
        right = form._depthwise

        def depthwise(self: Any, x: str, grid: Any, kernel: Any, *bias: Any, right: Any = right) -> str:
            nonlocal backwards
            backwards = not bias
            try:
                return right(self, x, grid, kernel, *bias)
            finally:
                backwards = False

        patch.setattr(form, "_depthwise", depthwise)
    rewritten(patch, change)


def kernel_not_flipped(patch: Patch, _: Bundle) -> None:
    for form in FORMS_OF_CONVOLUTION:
        right = form._depthwise

        def unflipped(self: Any, x: str, grid: Any, kernel: Any, *bias: Any, right: Any = right) -> str:
            return right(self, x, grid, kernel if bias else kernel[..., ::-1, ::-1, ::-1], *bias)

        patch.setattr(form, "_depthwise", unflipped)


def stem_padded_with_the_first_frame(patch: Patch, _: Bundle) -> None:
    rewritten(patch, lambda append, op, inputs, _: append(op, *inputs, mode="edge") if op == "Pad" else None)


def stem_gradient_of_the_token_before(patch: Patch, _: Bundle) -> None:
    right = network._pad_frames

    def always_before(g: GraphBuilder, x: str, *, before: int = 0, after: int = 0, level: float = 0.0) -> str:
        return right(g, x, before=before or after, level=level)

    patch.setattr(network, "_pad_frames", always_before)


def abs_dropped(patch: Patch, _: Bundle) -> None:
    rewritten(patch, lambda _append, op, inputs, _: inputs[0] if op == "Abs" else None)


def abs_before_the_mean_over_copies(patch: Patch, _: Bundle) -> None:
    right = smoothgrad.trunk

    def unsigned(g: GraphBuilder, *args: Any) -> Trunk:
        network = right(g, *args)
        return replace(network, to_stem=lambda dfeatures: g.node("Abs", network.to_stem(dfeatures)))

    patch.setattr(smoothgrad, "trunk", unsigned)


def neighbouring_class(patch: Patch, _: Bundle) -> None:
    right = graphs._one_hot

    def rolled(g: GraphBuilder, form: Any, *args: Any) -> str:
        order = np.roll(np.arange(len(form.head.bias)), 1)
        return g.node("Gather", right(g, form, *args), g.constant(order), axis=1)

    patch.setattr(graphs, "_one_hot", rolled)


def square_weight_shared(patch: Patch, _: Bundle) -> None:
    for module in (gradient, graphs):
        patch.setattr(module, "transposed", lambda g, weight: g.transpose(g.constant(weight), 1, 0))


def seed_not_divided_out(patch: Patch, _: Bundle) -> None:
    right = GraphBuilder.scalar
    patch.setattr(GraphBuilder, "scalar", lambda g, value: right(g, 1.0 if value == 1 / graphs.SEED else value))


def token_repeated_for_both_frames(patch: Patch, _: Bundle) -> None:
    right = graphs._interleave
    patch.setattr(graphs, "_interleave", lambda g, even, _odd: right(g, even, even))


def frames_of_a_token_swapped(patch: Patch, _: Bundle) -> None:
    right = graphs._interleave
    patch.setattr(graphs, "_interleave", lambda g, even, odd: right(g, odd, even))


def softmax_differentiated_entry_by_entry(patch: Patch, _: Bundle) -> None:
    def change(append: Any, op: str, inputs: tuple[str, ...], attributes: Any) -> str | None:
        if op != "ReduceSum" or not attributes["keepdims"]:  # the row sums, and nothing else, keep their axis
            return None
        row_sum = append(op, *inputs, **attributes)
        return append("Sub", row_sum, row_sum)

    rewritten(patch, change)


def gelu_differentiated_as_a_gate(patch: Patch, _: Bundle) -> None:
    def change(append: Any, op: str, inputs: tuple[str, ...], _: Any) -> str | None:
        return append("Sub", *inputs * 2) if op == "Exp" else None  # Phi(x) alone, without x * phi(x)

    rewritten(patch, change)


def norm_left_out_of_the_activation_map(patch: Patch, _: Bundle) -> None:
    right = graphs.inference_form
    patch.setattr(graphs, "inference_form", lambda model: replace(form := right(model), cam_offset=0 * form.cam_offset))


def constant_of_an_example(patch: Patch, bundle: Bundle) -> None:
    window = np.random.default_rng(9).integers(0, 256, (20, 64, 64, 3), np.uint8)
    example = Explainer(bundle, open_backend("onnxruntime", threads=1), "vanilla")(window)

    def baked(g: GraphBuilder, *_: Any) -> graphs.Explanation:
        scores, cells = (g.node("Identity", g.constant(x[None])) for x in (example.frame_scores, example.map))
        return graphs.Explanation(scores, cells, example.map.shape[1:])

    patch.setitem(graphs._EXPLAINERS, "vanilla", baked)


@dataclass(frozen=True)
class Mistake:
    make: Callable[[Patch, Bundle], None]
    noticed_in: tuple[Method, ...]
    engine: str = "onnxruntime"
    logits_right: bool = True
    """Most wrong gradients leave the label as it is: nobody would see it there."""


MISTAKES = [
    Mistake(gradient_padded_by_one_too_many, ("vanilla",)),
    Mistake(kernel_not_flipped, ("vanilla",)),
    Mistake(stem_padded_with_the_first_frame, ("vanilla", "gradcam"), logits_right=False),
    Mistake(stem_gradient_of_the_token_before, ("vanilla",)),
    Mistake(abs_dropped, ("vanilla", "streaming")),
    Mistake(abs_before_the_mean_over_copies, ("smoothgrad",)),
    Mistake(neighbouring_class, ("vanilla", "gradcam", "staa-grad")),
    # right as a graph, and on ONNX Runtime; when this fails, OpenVINO tells a weight from its transpose again
    Mistake(square_weight_shared, ("vanilla",), engine="openvino"),
    Mistake(seed_not_divided_out, ("vanilla", "staa-grad")),
    Mistake(token_repeated_for_both_frames, ("gradcam", "staa", "staa-grad")),
    Mistake(frames_of_a_token_swapped, ("vanilla", "gradcam", "staa")),
    Mistake(softmax_differentiated_entry_by_entry, ("vanilla",)),
    Mistake(gelu_differentiated_as_a_gate, ("vanilla", "staa-grad")),
    Mistake(norm_left_out_of_the_activation_map, ("gradcam",)),
    Mistake(constant_of_an_example, ("vanilla",)),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.make.__name__)
def test_a_wrong_graph_is_noticed(
    mistake: Mistake, bundle_copy: Path, tiny_bundle: Bundle, tiny_model: Stan, monkeypatch: Patch
) -> None:
    backend = open_backend(mistake.engine, threads=1)
    with monkeypatch.context() as patch:
        mistake.make(patch, tiny_bundle)
        graphs.export_graphs(tiny_model, tiny_bundle.contract.input, bundle_copy)
    write_digests(bundle_copy)
    wrong = open_bundle(bundle_copy)
    for method in mistake.noticed_in:
        assert played(tiny_bundle, backend, method).passed  # the same comparison without the mistake
        row = played(wrong, backend, method)
        assert not row.passed
        assert min(row.scores_error, row.map_error) > 500 * row.tolerance  # the least of all is 960 times
        assert (row.logits_error <= row.tolerance) == mistake.logits_right


def played(bundle: Bundle, backend: Backend, method: Method) -> ParityRow:
    return replay(bundle, backend, Explainer(bundle, backend, method))
