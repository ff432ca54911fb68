"""SmoothGrad (arXiv 1706.03825) inside the graph: the gradient of a clip becomes the mean over noisy copies of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stan_edge.contract import InputSpec
from stan_export.builder import GraphBuilder
from stan_export.gradient import Grid
from stan_export.inference_form import InferenceForm
from stan_export.network import PatchGradient, Trunk, trunk

SAMPLES = 8
"""Noisy copies of each clip, unless said otherwise."""


def smoothed(
    g: GraphBuilder, form: InferenceForm, pixels: str, noise: str, spec: InputSpec, batch: int, samples: int
) -> Trunk:
    """The network of the clean clips, whose way back to the pixels leads through their noisy copies.

    Logits, and with them the class that is explained, are thus those of the clean clip to the bit. The signed
    gradients of the copies are averaged: noise that flips a sign cancels out.

    Args:
        pixels: gray levels, float32 `[B, T, H, W, 3]`.
        noise: added to them, float32 `[samples, T, H, W, 3]`, the same for every clip.
    """
    shape = (spec.frames, spec.size_px, spec.size_px, 3)
    copies = g.node("Add", g.reshape(pixels, batch, 1, -1), g.reshape(noise, samples, -1))  # [B, n, pixels]
    noisy = trunk(g, form, g.reshape(copies, batch * samples, *shape), spec, batch * samples)
    clean = trunk(g, form, pixels, spec, batch)
    return replace(clean, to_patches=_mean_over_copies(g, noisy.to_patches, clean.stem_grid, samples))


def _mean_over_copies(
    g: GraphBuilder, to_patches: Callable[[str], PatchGradient], grid: Grid, samples: int
) -> Callable[[str], PatchGradient]:
    """`to_patches` of `[B * samples]` copies as one of `[B]` clips."""

    def mean(x: str) -> str:
        x = g.reshape(x, grid.batch, samples, grid.t, -1)
        return g.reshape(g.reduce("ReduceMean", x, 1), grid.batch, grid.t, grid.cells, -1)

    def pullback(dfeatures: str) -> PatchGradient:
        clip_of_copy = g.constant(np.repeat(np.arange(grid.batch, dtype=np.int64), samples))
        gradient = to_patches(g.node("Gather", dfeatures, clip_of_copy, axis=0))
        return PatchGradient(even=mean(gradient.even), odd=mean(gradient.odd))

    return pullback
