"""The frozen graph: a trained network as a short list of primitive layers, without torch.

Every exporter writes from it, and every verification compares with what the interpreter
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
        weights: of each of G sets, the output axis first.
        biases: of each set, `[out]`.
        of_step: which set each of the T steps uses.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    of_step: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Conv(Affine):
    """A convolution of images, weights `[out, in / groups, kh, kw]`, zeros around the image."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class Linear(Affine):
    """A linear layer, weights `[out, in]`."""


@dataclass(frozen=True, kw_only=True)
class ChannelScale(Node):
    """y_t = factor_t x_t + offset_t, each `[T, C]`, C the first axis of a sample."""

    factor: Array
    offset: Array


@dataclass(frozen=True, kw_only=True)
class Pool(Node):
    """The greatest or the mean value of each window; the mean counts zeros of the padding."""

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
    """a b of two inputs, element by element, or (1 - a) b.

    Attributes:
        inverted: whether 1 - a takes the place of a, the first input.
    """

    inverted: bool = False


@dataclass(frozen=True, kw_only=True)
class Attention(Node):
    """scale Q Kᵀ V of each head at each step, without softmax: `[3C, H, W]` to `[C, H, W]`.

    The places of an image are tokens. Channels hold the queries, then the keys, then the values,
    and within each the heads one after another. Q (Kᵀ V) is what is computed.

    Attributes:
        heads: how many, each of C / heads channels.
        scale: factor of the product.
    """

    heads: int
    scale: float


@dataclass(frozen=True, kw_only=True)
class Neuron(Node):
    """Leaky integrate-and-fire with parameters of each step, beginning at rest.

        v_t = leak_t v_{t-1} + gain_t x_t
        s_t = H(v_t - threshold_t)              H(0) = 0
        v_t ← v_t - size_t s_t                  reset `subtract`
        v_t ← v_t (1 - s_t)                     reset `zero`

    Attributes:
        leak, gain, threshold, size: `[T, 1]` or `[T, C]`, C the first axis of a sample.
        reset: what a spike does to the membrane.
    """

    leak: Array
    gain: Array
    threshold: Array
    size: Array
    reset: ResetName = "subtract"


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
        nodes: in an order in which each follows its inputs; the last gives logits `[K]`.
        in_shape: of one step of the code, usually (C, H, W).
        steps: T.
        static: whether the code is the same at every step.
        about: what a reader wants to know: code, classes, normalisation, recipe.
    """

    nodes: tuple[Node, ...]
    in_shape: Shape
    steps: int
    static: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The name of the node that gives the logits."""
        return self.nodes[-1].name

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of one sample at one step, of every node and of `input`.

        Raises:
            ConfigError: a node cannot take what its inputs give.
        """
        shapes: dict[str, Shape] = {INPUT: self.in_shape}
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise ConfigError(f"layer {node.name!r} reads {missing[0]!r}, which is not there")
            shapes[node.name] = _shape(node, [shapes[name] for name in node.inputs])
        return shapes

    @cached_property
    def still(self) -> frozenset[str]:
        """The nodes whose value is the same at every step, so that one computation serves all."""
        found = {INPUT} if self.static else set()
        for node in self.nodes:
            if found.issuperset(node.inputs) and _is_steady(node):
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
        """Return whether a node gives 0 and 1 only, whatever the input."""
        node = next((node for node in self.nodes if node.name == name), None)
        if isinstance(node, Product):
            return all(self.is_binary(each) for each in node.inputs)
        if isinstance(node, Flatten) or (isinstance(node, Pool) and node.kind == "max"):
            return self.is_binary(node.inputs[0])
        return isinstance(node, Neuron)

    def with_nodes(self, nodes: Mapping[str, Node]) -> Graph:
        """Return the graph with some nodes replaced by name."""
        return replace(self, nodes=tuple(nodes.get(node.name, node) for node in self.nodes))


def _is_steady(node: Node) -> bool:
    """Return whether a node does the same at every step."""
    if isinstance(node, Affine):
        return len(set(node.of_step)) == 1
    if isinstance(node, ChannelScale):
        return all(bool((part == part[0]).all()) for part in (node.factor, node.offset))
    return isinstance(node, Pool | Flatten | Add | Product | Attention)


def window_places(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Return how many places a window takes along an axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _shape(node: Node, inputs: list[Shape]) -> Shape:
    shape = inputs[0]
    match node:
        case Conv():
            _demand(len(shape) == 3, node, shape, "an image")
            channels = node.weights[0].shape[1] * node.groups
            _demand(shape[0] == channels, node, shape, f"{channels} channels")
            kernel = node.weights[0].shape[2:]
            out = _places(shape, kernel, node.stride, node.padding, node.dilation)
            _demand(min(out) > 0, node, shape, "an image as large as its kernel")
            return (node.weights[0].shape[0], *out)
        case Linear():
            features = node.weights[0].shape[1]
            _demand(shape == (features,), node, shape, f"{features} features")
            return (node.weights[0].shape[0],)
        case Readout():
            _demand(shape == (node.weight.shape[1],), node, shape, f"{node.weight.shape[1]} values")
            return (node.weight.shape[0],)
        case Pool():
            _demand(len(shape) == 3, node, shape, "an image")
            out = _places(shape, node.kernel, node.stride, node.padding, (1, 1))
            _demand(min(out) > 0, node, shape, "an image as large as its window")
            return (shape[0], *out)
        case Flatten():
            return (int(np.prod(shape)),)
        case Add() | Product():
            _demand(all(other == shape for other in inputs), node, inputs, "inputs of one shape")
            if isinstance(node, Product):
                _demand(len(inputs) == 2, node, f"{len(inputs)}", "two inputs")
            return shape
        case Attention():
            _demand(len(shape) == 3, node, shape, "an image")
            each = 3 * node.heads
            _demand(shape[0] % each == 0, node, shape, f"channels that {each} divides")
            return (shape[0] // 3, *shape[1:])
        case Neuron():
            channels = node.leak.shape[1]
            _demand(channels in (1, shape[0]), node, shape, f"{channels} channels")
            return shape
        case ChannelScale():
            _demand(node.factor.shape[1] == shape[0], node, shape, "other channels")
            return shape
    raise ConfigError(f"layer {node.name!r} is of an unknown kind, {type(node).__name__}")


def _places(shape: Shape, kernel: Any, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    height, width = (
        window_places(*values)
        for values in zip(shape[1:], kernel, stride, padding, dilation, strict=True)
    )
    return height, width


def _demand(fits: bool, node: Node, shape: Any, wants: str) -> None:
    if not fits:
        raise ConfigError(f"layer {node.name!r} wants {wants}, and gets {shape}")
