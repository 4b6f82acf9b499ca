"""Weights in fewer bits, rounded the same for the file and for the graph to compare with."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from ...core.errors import ConfigError
from .ir import Affine, Array, Dynamics, Graph, Lstm, Neuron, Node, Readout

Weights = Literal["fp32", "fp16", "int8"]
WEIGHTS = ("fp32", "fp16", "int8")


class Quantised(NamedTuple):
    """w ≈ values · scale, one scale for each output.

    Attributes:
        values: int8, from -127 to 127.
        scale: `[out]`, float32.
    """

    values: Array
    scale: Array

    def restored(self) -> Array:
        """Return values · scale in float32, as ONNX's DequantizeLinear computes it."""
        shape = (-1, *[1] * (self.values.ndim - 1))
        return self.values.astype(np.float32) * self.scale.reshape(shape)


def quantise(weight: Array) -> Quantised:
    """Return weights `[out, ...]` in int8: scale = max |w| / 127 of each output, symmetric."""
    largest = np.abs(weight).reshape(len(weight), -1).max(1, initial=0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    shape = (-1, *[1] * (weight.ndim - 1))
    values = np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8)
    return Quantised(values, scale)


def rounded(weight: Array, kind: Weights) -> Array:
    """Return weights as the runtime restores them from a file of that kind, in float32.

    Raises:
        ConfigError: a weight is too large for 16 bits.
    """
    if kind == "int8":
        return quantise(weight).restored()
    if kind == "fp16":
        return half(weight).astype(np.float32)
    return weight


def half(weight: Array) -> Array:
    """Return weights in float16.

    Raises:
        ConfigError: a weight is too large.
    """
    if np.abs(weight).max(initial=0) > np.finfo(np.float16).max:
        raise ConfigError(
            "a weight is too large for fp16",
            why=f"the largest is {np.abs(weight).max():.3g}, the limit of fp16 is 65504",
            remedy="use --weights fp32 or int8",
        )
    return weight.astype(np.float16)


def with_rounded_weights(graph: Graph, kind: Weights) -> Graph:
    """Return the graph with the weights of a file of that kind; biases and schedules stay."""
    if kind == "fp32":
        return graph
    changed: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node, Affine):
            weights = tuple(rounded(weight, kind) for weight in node.weights)
            changed[node.name] = replace(node, weights=weights)
        elif isinstance(node, Readout):
            changed[node.name] = replace(node, weight=rounded(node.weight, kind))
        elif isinstance(node, Lstm):
            weight, recurrent = rounded(node.weight, kind), rounded(node.recurrent, kind)
            changed[node.name] = replace(node, weight=weight, recurrent=recurrent)
        elif isinstance(node, Neuron | Dynamics) and node.recurrent is not None:
            changed[node.name] = replace(node, recurrent=rounded(node.recurrent, kind))
    return graph.with_nodes(changed)
