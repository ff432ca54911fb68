"""SmoothGrad (arXiv 1706.03825) inside the graph: the gradient of a clip becomes the mean over noisy copies of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from stan_edge.model.contract import InputSpec
from stan_export.builder import GraphBuilder
from stan_export.convolutions import Convolutions
from stan_export.inference_form import InferenceForm
from stan_export.network import Trunk, trunk

SAMPLES = 8
"""Noisy copies of each clip, unless said otherwise."""


def smoothed(
    g: GraphBuilder,
    convolutions: Convolutions,
    weights: InferenceForm,
    pixels: str,
    noise: str,
    spec: InputSpec,
    samples: int,
) -> Trunk:
    """The network of the clean clips, whose way back to the pixels leads through their noisy copies.

    Logits, and with them the class that is explained, are thus those of the clean clip to the bit. The signed
    gradients of the copies are averaged: noise that flips a sign cancels out. That is done before the stem, whose
    gradient is linear and the same for all copies.

    Args:
        pixels: gray levels, float32 `[B, T, H, W, 3]`.
        noise: added to them, float32 `[samples, T, H, W, 3]`, the same for every clip.
    """
    shape = (spec.frames, spec.size_px, spec.size_px, 3)
    copies = g.node("Add", g.reshape(pixels, -1, 1, math.prod(shape)), g.reshape(noise, samples, -1))  # [B, n, pixels]
    noisy = trunk(g, convolutions, weights, g.reshape(copies, -1, *shape), spec)
    clean = trunk(g, convolutions, weights, pixels, spec)
    channels, tokens = len(weights.head.weight), clean.stem_grid.tokens

    def to_stem(dfeatures: str) -> str:
        of_copies = g.node("Tile", dfeatures, g.constant(np.array([1, samples, 1], np.int64)))  # [B, n, C]
        gradient = noisy.to_stem(g.reshape(of_copies, -1, 1, channels))
        width = len(weights.stages[0].embed.gain)
        return g.reduce("ReduceMean", g.reshape(gradient, -1, samples, tokens, width), 1)

    return replace(clean, to_stem=to_stem)
