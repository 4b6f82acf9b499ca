"""The export graph: a trained network as a short list of primitive layers, without torch.

Every exporter writes this graph, and every verification compares with what the interpreter
(`asnn.exporters.graph.interpreter`) computes from it. All arrays are float32. A node's value is
time-major, `[T, B, ...]`; shapes in the graph are those of one sample at one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ...core.errors import ConfigError
from ...kernels.rules import ResetName

INPUT = "input"

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


@dataclass(frozen=True)
class Graph:
    """A network for inference.

    Attributes:
        nodes: in topological order; the last returns logits `[K]`.
        in_shape: of one step of the code, usually (C, H, W).
        steps: T.
        static: whether the code is the same at every step.
        about: metadata for the file: code, classes, normalisation, recipe.
    """

    nodes: tuple[Node, ...]
    in_shape: Shape
    steps: int
    static: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The name of the node that returns the logits."""
        return self.nodes[-1].name

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of one sample at one step, of every node and of `input`.

        Raises:
            ConfigError: the inputs of a node have a shape that it does not accept.
        """
        shapes: dict[str, Shape] = {INPUT: self.in_shape}
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise ConfigError(f"layer {node.name!r} reads {missing[0]!r}, which does not exist")
            shapes[node.name] = _shape(node, [shapes[name] for name in node.inputs])
        return shapes

    @cached_property
    def time_invariant(self) -> frozenset[str]:
        """The nodes whose value is the same at every step, so that it is computed once."""
        found = {INPUT} if self.static else set()
        for node in self.nodes:
            if found.issuperset(node.inputs) and _is_time_invariant(node):
                found.add(node.name)
        return frozenset(found)

    @property
    def neurons(self) -> list[Neuron]:
        """The spiking layers, in order."""
        return [node for node in self.nodes if isinstance(node, Neuron)]

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return self.shapes[self.output][0]

    def is_binary(self, name: str) -> bool:
        """Return whether the value of a node is 0 or 1 for every input."""
        node = next((node for node in self.nodes if node.name == name), None)
        if isinstance(node, Product):
            return all(self.is_binary(each) for each in node.inputs)
        if isinstance(node, Flatten) or (isinstance(node, Pool) and node.kind == "max"):
            return self.is_binary(node.inputs[0])
        return isinstance(node, Neuron)

    def with_nodes(self, nodes: Mapping[str, Node]) -> Graph:
        """Return the graph with the nodes of these names replaced."""
        return replace(self, nodes=tuple(nodes.get(node.name, node) for node in self.nodes))


def _is_time_invariant(node: Node) -> bool:
    """Return whether a node computes the same at every step."""
    if isinstance(node, Affine):
        return len(set(node.of_step)) == 1
    if isinstance(node, ChannelScale):
        return all(bool((part == part[0]).all()) for part in (node.factor, node.offset))
    return isinstance(node, Pool | Flatten | Add | Product | Attention)


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return the output size of a convolution or pool along an axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _shape(node: Node, inputs: list[Shape]) -> Shape:
    shape = inputs[0]
    match node:
        case Conv():
            _require(len(shape) == 3, node, shape, "an image")
            channels = node.weights[0].shape[1] * node.groups
            _require(shape[0] == channels, node, shape, f"{channels} channels")
            kernel = node.weights[0].shape[2:]
            out = _output_size(shape, kernel, node.stride, node.padding, node.dilation)
            _require(min(out) > 0, node, shape, "an image as large as its kernel")
            return (node.weights[0].shape[0], *out)
        case Linear():
            features = node.weights[0].shape[1]
            _require(shape == (features,), node, shape, f"{features} features")
            return (node.weights[0].shape[0],)
        case Lstm():
            features = node.weight.shape[1]
            _require(shape == (features,), node, shape, f"{features} features")
            return (node.features,)
        case Readout():
            classes, features = node.weight.shape
            _require(shape == (features,), node, shape, f"{features} features")
            return (classes,)
        case Pool():
            _require(len(shape) == 3, node, shape, "an image")
            out = _output_size(shape, node.kernel, node.stride, node.padding, (1, 1))
            _require(min(out) > 0, node, shape, "an image as large as its window")
            return (shape[0], *out)
        case Flatten():
            return (int(np.prod(shape)),)
        case Add() | Product():
            _require(all(other == shape for other in inputs), node, inputs, "inputs of one shape")
            if isinstance(node, Product):
                _require(len(inputs) == 2, node, f"{len(inputs)}", "two inputs")
            return shape
        case Attention():
            _require(len(shape) == 3, node, shape, "an image")
            each = 3 * node.heads
            _require(shape[0] % each == 0, node, shape, f"a multiple of {each} channels")
            return (shape[0] // 3, *shape[1:])
        case Neuron():
            channels = node.leak.shape[1]
            _require(channels in (1, shape[0]), node, shape, f"{channels} channels")
            if node.recurrent is not None:
                features = node.recurrent.shape[1]
                _require(shape == (features,), node, shape, f"{features} features")
            return shape
        case ChannelScale():
            channels = node.factor.shape[1]
            _require(channels == shape[0], node, shape, f"{channels} channels")
            return shape
    raise ConfigError(f"layer {node.name!r} is of an unknown kind, {type(node).__name__}")


def _output_size(shape: Shape, kernel: Any, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    height, width = (
        output_size(*values)
        for values in zip(shape[1:], kernel, stride, padding, dilation, strict=True)
    )
    return height, width


def _require(fits: bool, node: Node, shape: Any, expected: str) -> None:
    if not fits:
        raise ConfigError(f"layer {node.name!r} expects {expected}, not {shape}")
