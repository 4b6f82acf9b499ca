"""The nodes of the export graph: one for each kind of layer, with its equation and its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...kernels.rules import ResetName

Array = np.ndarray
Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A layer.

    Attributes:
        name: unique in its graph.
        inputs: names of the nodes that it reads, or `input`.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Affine(Node):
    """y_t = W_g x_t + b_g with g = of_step[t]: steps may have weights of their own.

    Attributes:
        weights: G arrays, the output axis first.
        biases: G arrays `[out]`.
        of_step: for each of the T steps, the index of its weights and bias.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    of_step: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Conv(Affine):
    """A 2D convolution with zero padding, weights `[out, in / groups, kh, kw]`."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class Linear(Affine):
    """A linear layer, weights `[out, in]`."""


@dataclass(frozen=True, kw_only=True)
class ChannelScale(Node):
    """y_t = factor_t x_t + offset_t, factor and offset `[T, C]`, C the first axis of a sample."""

    factor: Array
    offset: Array


@dataclass(frozen=True, kw_only=True)
class Pool(Node):
    """Max or average pooling; the average includes the zeros of the padding."""

    kind: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Flatten(Node):
    """`[C, H, W]` to `[C·H·W]`."""


@dataclass(frozen=True, kw_only=True)
class Add(Node):
    """The sum of all inputs."""


@dataclass(frozen=True, kw_only=True)
class Product(Node):
    """The elementwise product a b of two inputs, or (1 - a) b.

    Attributes:
        inverted: whether the first input is 1 - a instead of a.
    """

    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class Attention(Node):
    """scale Q Kᵀ V of each head at each step, without softmax: `[3C, H, W]` to `[C, H, W]`.

    Pixels are tokens. Channels hold the queries, then the keys, then the values, and within each
    the heads one after another. It is computed as Q (Kᵀ V).

    Attributes:
        heads: the number of heads, each with C / heads channels.
        scale: factor of the product.
    """

    heads: int
    scale: float


@dataclass(frozen=True, kw_only=True)
class Neuron(Node):
    """Leaky integrate-and-fire with parameters for each step, from rest.

        v_t = leak_t v_{t-1} + gain_t x_t
        s_t = H(v_t - threshold_t)              H(0) = 0
        v_t ← v_t - size_t s_t                  reset `subtract`
        v_t ← v_t (1 - s_t)                     reset `zero`

    With recurrent weights U, x_t + U s_{t-1} takes the place of x_t from the second step on.

    Attributes:
        leak, gain, threshold, size: `[T, 1]` or `[T, C]`, C the first axis of a sample.
        reset: how a spike resets the membrane.
        recurrent: U, `[F, F]`, of samples `[F]`; None without recurrence.
    """

    leak: Array
    gain: Array
    threshold: Array
    size: Array
    reset: ResetName = "subtract"
    recurrent: Array | None = None


@dataclass(frozen=True, kw_only=True)
class Lstm(Node):
    """Long short-term memory, from rest: values, not spikes.

        i, f, g, o = W x_t + b + U h_{t-1},   h_{-1} = c_{-1} = 0
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    Its value is h_t.

    Attributes:
        weight: W, `[4F, I]`, the gates in the order i, f, g, o.
        recurrent: U, `[4F, F]`.
        bias: b, `[4F]`.
    """

    weight: Array
    recurrent: Array
    bias: Array

    @property
    def features(self) -> int:
        """F."""
        return self.recurrent.shape[1]


@dataclass(frozen=True, kw_only=True)
class Readout(Node):
    """logits_t = scale_t (W x_t + b), W `[K, F]`, scale `[T]`."""

    weight: Array
    bias: Array
    scale: Array
