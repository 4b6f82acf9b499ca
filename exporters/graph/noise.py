"""Spikes that are drawn: their uniform numbers are inputs of the graph, `noise.LAYER`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .cell import sigmoid
from .nodes import Array, Shape

PREFIX = "noise."
SIGMOID_ERROR = 5e-7
"""By which two runtimes may differ in σ: onnxruntime is within 2e-7 of it, torch and numpy 1e-7."""


class NoiseInput(NamedTuple):
    """Uniform numbers in [0, 1) for each step and sample, `[T, N, *shape]`.

    Attributes:
        shape: of one sample at one step, that of the value of the layer.
        stream: of the numbers that asnn draws for the layer, see `asnn.coding.draws.uniforms`.
    """

    shape: Shape
    stream: int


def noise_name(layer: str) -> str:
    """Return the name of the input of uniform numbers for a layer."""
    return f"{PREFIX}{layer}"


def drawn(distance: Array, kappa: Array, uniforms: Array) -> Array:
    """Return whether uniform < σ(κ distance): true with the probability σ."""
    fires: Array = uniforms < sigmoid(kappa * distance)
    return fires


def drawn_margin(distance: Array, kappa: Array, uniforms: Array) -> Array:
    """Return how far a membrane is from where the draw changes, in units of the membrane.

    A draw is a threshold on the membrane, uniform < σ(κ d) ⟺ d > logit(uniform) / κ, and σ has an
    error ε of its own: |d - logit(q) / κ| of the q within ε of the uniform number that is nearest
    to p = σ(κ d), and 0 where p is as near.
    """
    d, steepness = np.asarray(distance, np.float64), np.asarray(kappa, np.float64)
    p = (1 + np.tanh(steepness * d / 2)) / 2
    away = np.abs(p - uniforms) > SIGMOID_ERROR
    q = uniforms + np.clip(p - uniforms, -SIGMOID_ERROR, SIGMOID_ERROR)
    q = np.where(away, q, 0.5)  # else it may be 0 or 1
    margin = np.where(away, np.abs(d - (np.log(q) - np.log1p(-q)) / steepness), 0)
    return margin.astype(np.float32)
