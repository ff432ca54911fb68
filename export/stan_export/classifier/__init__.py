"""Any torch video classifier as a bundle: traced graphs for forward and gradients, and their float64 reference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stan_edge.errors import ConfigError, ParityError
from stan_edge.model.bundle import graph_file
from stan_edge.model.contract import FORMS, InputSpec, Method, MethodSpec
from stan_edge.pipeline.smoothgrad import noise
from stan_export.classifier.explanations import MAP_CELL, Explain, Explained, gradcam, smoothgrad, vanilla
from stan_export.classifier.tracing import traced
from stan_export.explainable import Arrays, Explainable
from stan_export.external_data import save_graphs
from stan_export.frame_calibration import activity_classes
from stan_export.smoothgrad import SAMPLES

COPIES: dict[Method, int] = {"smoothgrad": SAMPLES, "streaming": 1}
"""Noisy copies that a method takes."""
STEPS = (1e-3, 1e-4, 1e-5)
"""Of central differences, in normalised pixels: a long one may cross kinks, a short one drown in the softmax that some
networks compute in float32 whatever they are given."""
SLOPE_TOLERANCE = 1e-2
"""Largest difference between the slope along a random direction and the central difference, of the gradient's length
(the size that a slope has)."""


def classifier(
    network: nn.Module,
    name: str,
    classes: Sequence[str],
    input: InputSpec,  # noqa: A002
    *,
    background: str | None = None,
    alarms: Sequence[str] | None = None,
    gradcam_layer: str | None = None,
    staa: Explain | None = None,
    noisy: Collection[Literal["smoothgrad", "streaming"]] = (),
    provenance: Mapping[str, str] | None = None,
) -> Explainable:
    """A trained network with everything that `stan_export.export.write_bundle` needs.

    Args:
        network: takes `(frame / 255 - mean) / std` as float `[B, 3, T, S, S]`, RGB, and gives logits `[B, classes]`. It
            is used in eval mode, and left as it is.
        input: T, S, mean and std, and the seconds that a window spans.
        alarms: classes that raise events; all but the background by default.
        gradcam_layer: name of the submodule whose output `[B, C, t, h, w]` Grad-CAM explains; without it there is no
            `gradcam`.
        staa: how attention becomes scores and map, for networks that have it; see `stan_export.hugging_face`.
        noisy: the methods to add to `vanilla`; both are experimental, and `smoothgrad` takes nine times the memory.

    Raises:
        ConfigError: the network does not take or give these shapes, or has no such layer.
        ParityError: PyTorch's own gradient is not the slope of its logits.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    if gradcam_layer is not None and gradcam_layer not in dict(network.named_modules()):
        raise ConfigError(f"The network has no layer {gradcam_layer!r}; see its named_modules().")
    activities = activity_classes(classes, background)
    unknown = {background or classes[0], *(alarms or ())}.difference(classes)
    if unknown:
        raise ConfigError(f"{', '.join(sorted(unknown))}: not among the classes {', '.join(classes)}; choose of these.")
    explains: dict[Method, Callable[..., Explained]] = {"vanilla": vanilla}
    explains.update(dict.fromkeys(noisy, smoothgrad))
    if gradcam_layer is not None:
        explains["gradcam"] = gradcam(gradcam_layer)
    if staa is not None:
        explains["staa"] = staa
    shape = (_safe_batch(network), 3, input.frames, input.size_px, input.size_px)
    pixels = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    logits = _shape_of(network, pixels)
    if logits != (len(pixels), len(classes)):
        raise ConfigError(
            f"The network gives {list(logits)} for {list(shape)}, for {len(classes)} classes; give a name for each."
        )
    _check_slope(network, pixels)
    specs = {}
    for method, explain in explains.items():
        cell_px = MAP_CELL
        if method in ("gradcam", "staa"):
            _, _, cells = explain(network, pixels, torch.zeros(len(pixels), dtype=torch.long))
            cell_px = input.size_px // cells.shape[-1]
        specs[method] = MethodSpec(
            class_specific=method != "staa",
            dealias=False,  # that is for the stem of STAN
            profile=(1.0,) * input.frames,
            cell_px=cell_px,
            scale=None,
            thresholds=dict.fromkeys(activities, 0.5),
            samples=COPIES.get(method),
        )
    return Explainable(
        name=name,
        classes=tuple(classes),
        background=background,
        alarms=tuple(activities if alarms is None else alarms),
        input=input,
        provenance=dict(provenance or {}),
        methods=specs,
        forms=FORMS[:1],
        write_graphs=partial(_write_graphs, network, input, explains),
        record=partial(_record, network, input, explains),
    )


def _safe_batch(network: nn.Module) -> int:
    """Clips at a time in references: eager PyTorch differentiates a batch of one through a BatchNorm wrongly on the CPU
    (torch 2.13)."""
    return 2 if any(isinstance(module, _BatchNorm) for module in network.modules()) else 1


def _shape_of(network: nn.Module, pixels: Tensor) -> tuple[int, ...]:
    try:
        with torch.no_grad():
            return tuple(network(pixels).shape)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"The network does not take float {list(pixels.shape)} ({reason}); wrap it in a module that does."
        ) from error


def _check_slope(network: nn.Module, pixels: Tensor) -> None:
    """Raises ParityError when autograd disagrees with central differences of the logits along a random direction: the
    recordings could then prove nothing."""
    exact, points = copy.deepcopy(network).double(), pixels.double()
    direction = torch.randn(points.shape, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(exact(points)[:, 0].sum(), points)
    slope = float((gradient * direction).sum())
    with torch.no_grad():
        rises = {step: exact(points + step * direction) - exact(points - step * direction) for step in STEPS}
    differences = [float(rise[:, 0].sum()) / (2 * step) for step, rise in rises.items()]
    difference = min(differences, key=lambda value: abs(slope - value))
    if not abs(slope - difference) <= SLOPE_TOLERANCE * float(gradient.norm()):
        raise ParityError(
            f"PyTorch's gradient of this network gives a slope of {slope:.4g} where its logits rise by "
            f"{difference:.4g}; use another version of torch, or look for a layer without a true gradient."
        )


def _write_graphs(
    network: nn.Module, spec: InputSpec, explains: Mapping[Method, Callable[..., Explained]], folder: Path
) -> None:
    """See `Explainable.write_graphs`."""
    window = (spec.frames, spec.size_px, spec.size_px, 3)
    inputs = {
        "frames": torch.zeros((1, *window), dtype=torch.uint8),
        "class_index": torch.tensor([0]),
    }
    graphs = {
        graph_file(None): traced(
            lambda frames: (network(_normalised(frames, spec)),), {"frames": inputs["frames"]}, ["logits"]
        )
    }
    for method, explain in explains.items():
        taken = dict(inputs)
        if method in COPIES:
            taken["noise"] = torch.zeros((COPIES[method], *window))
        if method == "staa":
            del taken["class_index"]
        function = partial(_explain, network, spec, explain)
        graphs[graph_file(method)] = traced(function, taken, ["logits", "frame_scores", "map"])
    save_graphs(graphs, folder)


def _explain(
    network: nn.Module, spec: InputSpec, explain: Callable[..., Explained], frames: Tensor, *rest: Tensor
) -> Explained:
    """From what a graph takes to what it gives."""
    class_index = rest[0] if rest else frames.new_zeros(len(frames), dtype=torch.long)
    added = [_added(drawn, spec) for drawn in rest[1:]]
    return explain(network, _normalised(frames, spec), class_index, *added)


def _normalised(frames: Tensor, spec: InputSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 `[B, T, S, S, 3]` to `[B, 3, T, S, S]`."""
    return (frames.to(dtype).movedim(-1, 1) / 255 - spec.mean) / spec.std


def _added(drawn: Tensor, spec: InputSpec) -> Tensor:
    """Noise in gray levels `[n, T, S, S, 3]` as what is added to normalised pixels, `[n, 3, T, S, S]`."""
    return drawn.movedim(-1, 1) / (255 * spec.std)


def _record(
    network: nn.Module,
    spec: InputSpec,
    explains: Mapping[Method, Callable[..., Explained]],
    clips: npt.NDArray[np.uint8],
    class_index: npt.NDArray[np.int64],
) -> Arrays:
    """See `Explainable.record`."""
    exact = copy.deepcopy(network).double()
    rows: dict[str, list[Tensor]] = {}
    for frames, target in zip(clips, class_index, strict=True):
        copies = _safe_batch(network)
        pixels = _normalised(torch.from_numpy(np.stack([frames] * copies)), spec, torch.double)
        indices = torch.tensor([target] * copies)
        for number, (method, explain) in enumerate(explains.items()):
            added = [_added(torch.from_numpy(noise(spec, COPIES[method])).double(), spec)] if method in COPIES else []
            logits, scores, cells = (value[0].detach() for value in explain(exact, pixels, indices, *added))
            if number == 0:
                rows.setdefault("logits", []).append(logits)
            rows.setdefault(f"scores_{method}", []).append(scores)
            rows.setdefault(f"map_{method}", []).append(cells)
    recorded: Arrays = {"frames": clips, "class_index": class_index}
    return recorded | {key: torch.stack(value).numpy() for key, value in rows.items()}
