"""The nodes of the export graph: one for each kind of layer, with its equation and its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...core.errors import ConfigError
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

    @property
    def is_time_invariant(self) -> bool:
        """Whether it computes the same at every step, from the inputs of that step alone."""
        return False

    @property
    def looks_ahead(self) -> bool:
        """Whether the value of a step depends on later ones."""
        return False

    @property
    def states(self) -> tuple[str, ...]:
        """What it keeps from a step to the next, of the shape of its value, 0 at rest: `v` is a
        membrane, `s` are spikes, `i` is a synaptic current, `fired` is 1 where a neuron has fired;
        `h` and `c` are output and cell of an LSTM; `f1`, `f2` are the states of a filter; `d` is
        the input of a shift."""
        return ()

    def shape(self, inputs: list[Shape]) -> Shape:
        """Return the shape of one sample at one step.

        Raises:
            ConfigError: it does not accept the inputs.
        """
        raise NotImplementedError

    def is_binary(self, inputs: list[bool]) -> bool:
        """Return whether its value is 0 or 1, if that is known of its inputs."""
        return False

    def _require_fits(self, recurrent: Array | None, shape: Shape) -> None:
        """Refuse recurrent weights of other samples than those of `shape`."""
        if recurrent is None:
            return
        size = recurrent.shape[1]
        if recurrent.ndim == 2:
            self._require(shape == (size,), shape, f"{size} features")
        else:
            self._require(len(shape) == 3 and shape[0] == size, shape, f"{size} channels")

    def _require(self, fits: bool, found: Any, expected: str) -> None:
        if not fits:
            raise ConfigError(f"layer {self.name!r} expects {expected}, not {found}")


@dataclass(frozen=True, kw_only=True)
class Stateless(Node):
    """A layer that computes the same at every step."""

    @property
    def is_time_invariant(self) -> bool:
        return True


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

    @property
    def is_time_invariant(self) -> bool:
        return len(set(self.of_step)) == 1


@dataclass(frozen=True, kw_only=True)
class Linear(Affine):
    """A linear layer, weights `[out, in]`."""

    def shape(self, inputs: list[Shape]) -> Shape:
        outputs, features = self.weights[0].shape
        self._require(inputs[0] == (features,), inputs[0], f"{features} features")
        return (outputs,)


@dataclass(frozen=True, kw_only=True)
class ChannelScale(Node):
    """y_t = factor_t x_t + offset_t, each `[T, C]` or `[T, 1]`, C the first axis of a sample."""

    factor: Array
    offset: Array

    @property
    def is_time_invariant(self) -> bool:
        return all(bool((part == part[0]).all()) for part in (self.factor, self.offset))

    def shape(self, inputs: list[Shape]) -> Shape:
        return _by_channel(self, self.factor.shape[1], inputs)


@dataclass(frozen=True, kw_only=True)
class Flatten(Stateless):
    """`[C, H, W]` to `[C·H·W]`."""

    def shape(self, inputs: list[Shape]) -> Shape:
        return (int(np.prod(inputs[0])),)

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Reshape(Stateless):
    """The values of a sample in another shape, in order.

    Attributes:
        to: the shape.
    """

    to: Shape

    def shape(self, inputs: list[Shape]) -> Shape:
        number = int(np.prod(self.to))
        self._require(int(np.prod(inputs[0])) == number, inputs[0], f"{number} values")
        return self.to

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Transpose(Stateless):
    """The axes of a sample in another order.

    Attributes:
        axes: for each axis of the value, that of the input.
    """

    axes: tuple[int, ...]

    def shape(self, inputs: list[Shape]) -> Shape:
        fits = sorted(self.axes) == list(range(len(inputs[0])))
        self._require(fits, inputs[0], f"{len(self.axes)} axes")
        return tuple(inputs[0][axis] for axis in self.axes)

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Gather(Stateless):
    """The values at some places of an axis of a sample, each as often as it is named.

    Attributes:
        axis: of a sample.
        indices: the places, in the order of the value.
    """

    axis: int
    indices: tuple[int, ...]

    def shape(self, inputs: list[Shape]) -> Shape:
        shape = inputs[0]
        fits = 0 <= self.axis < len(shape)
        fits = fits and all(0 <= i < shape[self.axis] for i in self.indices)
        self._require(fits, shape, f"an axis {self.axis} with the places {list(self.indices)}")
        return (*shape[: self.axis], len(self.indices), *shape[self.axis + 1 :])

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Concat(Stateless):
    """All inputs one after another along the first axis of a sample: features or channels."""

    def shape(self, inputs: list[Shape]) -> Shape:
        for other in inputs:
            fits = len(other) == len(inputs[0]) and other[1:] == inputs[0][1:]
            self._require(fits, inputs, "inputs of one shape behind the first axis")
        return (sum(other[0] for other in inputs), *inputs[0][1:])

    def is_binary(self, inputs: list[bool]) -> bool:
        return all(inputs)


@dataclass(frozen=True, kw_only=True)
class Relu(Stateless):
    """max(x, 0)."""

    def shape(self, inputs: list[Shape]) -> Shape:
        return inputs[0]

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Tanh(Stateless):
    """scale · tanh(x).

    Attributes:
        scale: a number.
    """

    scale: float

    def shape(self, inputs: list[Shape]) -> Shape:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Add(Stateless):
    """The sum of all inputs."""

    def shape(self, inputs: list[Shape]) -> Shape:
        return _same(self, inputs)


@dataclass(frozen=True, kw_only=True)
class Product(Stateless):
    """The elementwise product a b of two inputs, or (1 - a) b.

    Attributes:
        inverted: whether the first input is 1 - a instead of a.
    """

    inverted: bool = False

    def shape(self, inputs: list[Shape]) -> Shape:
        self._require(len(inputs) == 2, f"{len(inputs)}", "two inputs")
        return _same(self, inputs)

    def is_binary(self, inputs: list[bool]) -> bool:
        return all(inputs)


@dataclass(frozen=True, kw_only=True)
class MatMul(Stateless):
    """The matrix product of two inputs, over their last two axes: `[..., n, k]` and `[..., k, m]`
    to `[..., n, m]`."""

    def shape(self, inputs: list[Shape]) -> Shape:
        self._require(len(inputs) == 2, f"{len(inputs)}", "two inputs")
        a, b = inputs
        fits = len(a) == len(b) >= 2 and a[:-2] == b[:-2] and a[-1] == b[-2]
        self._require(fits, inputs, "[..., n, k] and [..., k, m]")
        return (*a[:-1], b[-1])


@dataclass(frozen=True, kw_only=True)
class Attention(Stateless):
    """scale Q Kᵀ V of each head at each step, without softmax: `[3C, H, W]` to `[C, H, W]`.

    Pixels are tokens. Channels hold the queries, then the keys, then the values, and within each
    the heads one after another. It is computed as Q (Kᵀ V).

    Attributes:
        heads: the number of heads, each with C / heads channels.
        scale: factor of the product.
    """

    heads: int
    scale: float

    def shape(self, inputs: list[Shape]) -> Shape:
        image = image_of(self, inputs)
        each = 3 * self.heads
        self._require(image[0] % each == 0, image, f"a multiple of {each} channels")
        return (image[0] // 3, *image[1:])


@dataclass(frozen=True, kw_only=True)
class Neuron(Node):
    """Leaky integrate-and-fire with parameters for each step, from rest.

        v_t = leak_t v_{t-1} + gain_t x_t
        s_t = H(v_t - threshold_t)              H(0) = 0
        v_t ← v_t - size_t s_t                  reset `subtract`
        v_t ← v_t (1 - s_t)                     reset `zero`

    With recurrent weights U, x_t + U s_{t-1} takes the place of x_t from the second step on. With a
    `synapse` α, a synaptic current i_t = α i_{t-1} + x_t takes the place of x_t: the spikes that U
    feeds back pass through it too, as they do not pass a `Filter` before the neuron. With
    `most` m above 1 a step sends several spikes, s_t = clip(⌈(v_t - threshold_t) / size_t⌉, 0, m).
    With `once` a neuron that has fired is silent: s_t (1 - f_{t-1}) takes the place of s_t, and
    f_t = f_{t-1} + s_t, from 0. With `kappa` spikes are drawn, from uniform numbers n_t in [0, 1)
    that are an input of the graph: s_t = [n_t < σ(kappa_t (v_t - threshold_t))].

    Attributes:
        leak, gain, threshold, size: `[T, 1]` or `[T, C]`, C the first axis of a sample.
        reset: how a spike resets the membrane.
        recurrent: U, `[F, F]`, of samples `[F]`; or a convolution `[C, C, kh, kw]` of samples
            `[C, H, W]` that keeps their size. None without recurrence.
        synapse: α, `[C]` or `[1]`; None without a synaptic current.
        most: m, the largest number of spikes of a step; above 1 only with reset `subtract`.
        once: whether it sends its first spike only; with reset `none` and m = 1.
        kappa: steepness of the probability of a spike, `[T, 1]` or `[T, C]`, with m = 1; None
            without noise.
        stream: of the random numbers that asnn draws for it, see `asnn.coding.draws.uniforms`.
    """

    leak: Array
    gain: Array
    threshold: Array
    size: Array
    reset: ResetName = "subtract"
    recurrent: Array | None = None
    synapse: Array | None = None
    most: int = 1
    once: bool = False
    kappa: Array | None = None
    stream: int = 0

    @property
    def states(self) -> tuple[str, ...]:
        recurrent = () if self.recurrent is None else ("s",)
        current = () if self.synapse is None else ("i",)
        return ("v", *recurrent, *current, *(("fired",) if self.once else ()))

    def shape(self, inputs: list[Shape]) -> Shape:
        shape = _by_channel(self, self.leak.shape[1], inputs)
        self._require_fits(self.recurrent, shape)
        return shape

    def is_binary(self, inputs: list[bool]) -> bool:
        return self.most == 1


@dataclass(frozen=True, kw_only=True)
class Filter(Node):
    """A filter over time with P poles, one exponential filter after the other.

        f^0_t = gain x_t,   f^p_t = pole_p f^p_{t-1} + f^{p-1}_t,   y_t = f^P_t

    The states are 0 before the first step, except f^P, which is `start`.

    Attributes:
        poles: `[P, C]` or `[P, 1]`, C the first axis of a sample.
        gain: `[C]` or `[1]`.
        start: f^P before the first step, `[C]` or `[1]`; None for 0.
    """

    poles: Array
    gain: Array
    start: Array | None = None

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(f"f{p + 1}" for p in range(len(self.poles)))

    def shape(self, inputs: list[Shape]) -> Shape:
        return _by_channel(self, self.poles.shape[1], inputs)


@dataclass(frozen=True, kw_only=True)
class Accumulate(Node):
    """a_w = Σ_{t ∈ w} x_t, the sum of each window of `length` steps, without leak.

    Its value, and those of the nodes after it, have a step for each window.

    Attributes:
        length: of a window, in steps of its input.
    """

    length: int

    def shape(self, inputs: list[Shape]) -> Shape:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Shift(Node):
    """y_t = x_{t - by}, the value of another step: 0 outside of the T steps.

    Attributes:
        by: 1 for the step before, -1 for the next one.
    """

    by: Literal[1, -1]

    @property
    def looks_ahead(self) -> bool:
        return self.by < 0

    @property
    def states(self) -> tuple[str, ...]:
        return ("d",) if self.by > 0 else ()

    def shape(self, inputs: list[Shape]) -> Shape:
        return inputs[0]

    def is_binary(self, inputs: list[bool]) -> bool:
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Cells(Stateless):
    """Images side by side as cells, row by row: each `[K, H, W]`, together `[K, ΣHW]`."""

    def shape(self, inputs: list[Shape]) -> Shape:
        for image in inputs:
            self._require(len(image) == 3, image, "images")
            self._require(image[0] == inputs[0][0], image, f"{inputs[0][0]} channels")
        return (inputs[0][0], sum(image[1] * image[2] for image in inputs))


@dataclass(frozen=True, kw_only=True)
class Substitution(Node):
    """A linear system of all steps, solved by a pass forward and one backward, of rows of N values.

        w_t = x_t enter_t + offset_t + w_{t-1} forward_t
        z_t = w_t + z_{t+1} backward_t

    Its value are the entries `outputs` of z_t. With one input and one output a system is that of a
    channel, `[C, ...]`, or with G = 1 of all values; otherwise there is one, from `[E]` to `[D]`.
    It needs all steps: their number is part of the arrays.

    Attributes:
        enter: `[T, G, E, N]`.
        offset: `[T, G, N]`.
        forward, backward: `[T, G, N, N]`.
        outputs: D indices below N.
    """

    enter: Array
    offset: Array
    forward: Array
    backward: Array
    outputs: tuple[int, ...]

    @property
    def looks_ahead(self) -> bool:
        return True

    @property
    def is_elementwise(self) -> bool:
        """Whether every value has a system of its own."""
        return self.enter.shape[2] == len(self.outputs) == 1

    def shape(self, inputs: list[Shape]) -> Shape:
        systems, features = self.enter.shape[1:3]
        if self.is_elementwise:
            return _by_channel(self, systems, inputs)
        self._require(inputs[0] == (features,), inputs[0], f"{features} features")
        return (len(self.outputs),)

    def rows(self, shape: Shape) -> tuple[int, int, int]:
        """Return the axes of an input of a sample of `shape` as it enters: G, rows of each, E."""
        systems, features = self.enter.shape[1:3]
        return systems, int(np.prod(shape)) // (systems * features), features


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

    @property
    def states(self) -> tuple[str, ...]:
        return ("h", "c")

    def shape(self, inputs: list[Shape]) -> Shape:
        features = self.weight.shape[1]
        self._require(inputs[0] == (features,), inputs[0], f"{features} features")
        return (self.features,)


@dataclass(frozen=True, kw_only=True)
class Readout(Node):
    """logits_t = scale_t (W x_t + b), W `[K, F]`, scale `[T]`."""

    weight: Array
    bias: Array
    scale: Array

    def shape(self, inputs: list[Shape]) -> Shape:
        classes, features = self.weight.shape
        self._require(inputs[0] == (features,), inputs[0], f"{features} features")
        return (classes,)


def image_of(node: Node, inputs: list[Shape]) -> Shape:
    node._require(len(inputs[0]) == 3, inputs[0], "an image")
    return inputs[0]


def _same(node: Node, inputs: list[Shape]) -> Shape:
    node._require(all(other == inputs[0] for other in inputs), inputs, "inputs of one shape")
    return inputs[0]


def _by_channel(node: Node, channels: int, inputs: list[Shape]) -> Shape:
    node._require(channels in (1, inputs[0][0]), inputs[0], f"{channels} channels")
    return inputs[0]
