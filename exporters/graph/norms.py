"""Norms over the values of each sample at each step, which no batch statistics replace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .nodes import Array, Shape, Stateless


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Stateless):
    """y = (x - m) / √(v + eps) · weight + bias, with mean m and variance v of the last axes.

    Attributes:
        over: the number of axes, the last ones of a sample.
        weight, bias: of the shape of these axes; None for 1 and 0.
        eps: beside the variance.
    """

    over: int
    weight: Array | None = None
    bias: Array | None = None
    eps: float = 1e-5

    def shape(self, inputs: list[Shape]) -> Shape:
        shape = inputs[0]
        self._require(0 < self.over <= len(shape), shape, f"{self.over} axes or more")
        for values in (self.weight, self.bias):
            if values is not None:
                fits = values.shape == shape[len(shape) - self.over :]
                self._require(fits, shape, f"last axes {list(values.shape)}")
        return shape


@dataclass(frozen=True, kw_only=True)
class GroupNorm(Stateless):
    """y = (x - m) / √(v + eps) · weight + bias, with m and v of all values of a group of channels.

    With a group for each channel it is an instance norm.

    Attributes:
        groups: of the channels, in order.
        weight, bias: `[C]`; None for 1 and 0.
        eps: beside the variance.
    """

    groups: int
    weight: Array | None = None
    bias: Array | None = None
    eps: float = 1e-5

    def shape(self, inputs: list[Shape]) -> Shape:
        shape = inputs[0]
        fits = self.groups > 0 and shape[0] % self.groups == 0
        self._require(fits, shape, f"a multiple of {self.groups} channels")
        for values in (self.weight, self.bias):
            if values is not None:
                self._require(values.shape == shape[:1], shape, f"{values.size} channels")
        return shape


@dataclass(frozen=True, kw_only=True)
class Softmax(Stateless):
    """y = exp(x) / Σ exp(x), the sum over an axis, or its logarithm.

    Attributes:
        axis: of a sample.
        log: whether the value is log y.
    """

    axis: int
    log: bool = False

    def shape(self, inputs: list[Shape]) -> Shape:
        fits = 0 <= self.axis < len(inputs[0])
        self._require(fits, inputs[0], f"{self.axis + 1} axes or more")
        return inputs[0]


def softmax(node: Softmax, x: Array) -> Array:
    """Return the softmax of `[T, B, ...]`."""
    axis = 2 + node.axis
    below = x - x.max(axis, keepdims=True)
    total = np.exp(below).sum(axis, keepdims=True)
    return below - np.log(total) if node.log else np.exp(below) / total


def normed(node: LayerNorm | GroupNorm, x: Array) -> Array:
    """Return the norm of `[T, B, ...]`."""
    sample = x.shape[2:]
    if isinstance(node, LayerNorm):
        rows, axes = x.reshape(*x.shape[: x.ndim - node.over], -1), sample[-node.over :]
    else:
        rows = x.reshape(*x.shape[:2], node.groups, -1)
        axes = (sample[0], *[1] * (len(sample) - 1))
    centred = rows - rows.mean(-1, keepdims=True, dtype=np.float32)
    variance = (centred * centred).mean(-1, keepdims=True, dtype=np.float32)
    y = (centred / np.sqrt(variance + np.float32(node.eps))).reshape(x.shape)
    if node.weight is not None:
        y = y * node.weight.reshape(axes)
    return y if node.bias is None else y + node.bias.reshape(axes)
