"""The export graph: a trained network as a short list of primitive layers, without torch.

Every exporter writes this graph, and every verification compares with what the interpreter
(`asnn.exporters.graph.interpreter`) computes from it. All arrays are float32. A node's value is
time-major, `[T, B, ...]`; shapes in the graph are those of one sample at one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...core.errors import ConfigError
from .nodes import (
    Add,
    Affine,
    Attention,
    ChannelScale,
    Conv,
    Flatten,
    Linear,
    Lstm,
    Neuron,
    Node,
    Pair,
    Pool,
    Product,
    Readout,
    Shape,
)
from .nodes import Array as Array

INPUT = "input"


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
