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

from ...core.errors import ConfigError
from .answer import Answer
from .cell import Cell as Cell
from .cell import Dynamics as Dynamics
from .nodes import Accumulate as Accumulate
from .nodes import Add as Add
from .nodes import Affine as Affine
from .nodes import Array as Array
from .nodes import Attention as Attention
from .nodes import Cells as Cells
from .nodes import ChannelScale as ChannelScale
from .nodes import Concat as Concat
from .nodes import Filter as Filter
from .nodes import Flatten as Flatten
from .nodes import Gather as Gather
from .nodes import Linear as Linear
from .nodes import Lstm as Lstm
from .nodes import MatMul as MatMul
from .nodes import Neuron as Neuron
from .nodes import Node as Node
from .nodes import Pair as Pair
from .nodes import Product as Product
from .nodes import Readout as Readout
from .nodes import Relu as Relu
from .nodes import Reshape as Reshape
from .nodes import Shape as Shape
from .nodes import Shift as Shift
from .nodes import Substitution as Substitution
from .nodes import Tanh as Tanh
from .nodes import Transpose as Transpose
from .noise import NoiseInput, noise_name
from .norms import GroupNorm as GroupNorm
from .norms import LayerNorm as LayerNorm
from .norms import Softmax as Softmax
from .spatial import Conv as Conv
from .spatial import ConvTranspose as ConvTranspose
from .spatial import Pad as Pad
from .spatial import Pool as Pool
from .spatial import output_size as output_size
from .spatial import swapped as swapped

INPUT = "input"


@dataclass(frozen=True)
class Graph:
    """A network for inference.

    Attributes:
        nodes: in topological order; the last returns logits `[K]`, of each step or window.
        in_shape: of one step of the code, usually (C, H, W).
        steps: T.
        static: whether the code is the same at every step.
        about: metadata for the file: code, classes, normalisation, recipe.
        answer: how the answer follows from the logits of the steps.
    """

    nodes: tuple[Node, ...]
    in_shape: Shape
    steps: int
    static: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer = field(default_factory=Answer)

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
            if node.name in shapes:
                raise ConfigError(f"two layers have the name {node.name!r}")
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise ConfigError(f"layer {node.name!r} reads {missing[0]!r}, which does not exist")
            shapes[node.name] = node.shape([shapes[name] for name in node.inputs])
        return shapes

    @cached_property
    def steps_of(self) -> dict[str, int]:
        """The number of steps of the value of every node and of `input`: T, behind an accumulator
        the number of its windows."""
        steps = {INPUT: self.steps}
        for node in self.nodes:
            before = min(steps[name] for name in node.inputs)
            steps[node.name] = before // node.length if isinstance(node, Accumulate) else before
        return steps

    @property
    def outputs(self) -> int:
        """The number of outputs: T, or W of windows."""
        return self.steps_of[self.output]

    @cached_property
    def time_invariant(self) -> frozenset[str]:
        """The nodes whose value is the same at every step, so that it is computed once."""
        found = {INPUT} if self.static else set()
        for node in self.nodes:
            if node.is_time_invariant and found.issuperset(node.inputs):
                found.add(node.name)
        return frozenset(found)

    @property
    def neurons(self) -> list[Neuron | Cell]:
        """The spiking layers, in order."""
        return [node for node in self.nodes if isinstance(node, Neuron | Cell)]

    @cached_property
    def noise(self) -> dict[str, NoiseInput]:
        """The uniform numbers that layers and the answer draw with, by the name of the input."""
        found = {
            noise_name(node.name): NoiseInput(self.shapes[node.name], node.stream)
            for node in self.nodes
            if isinstance(node, Neuron) and node.kappa is not None
        }
        if self.answer.draws:
            found[self.answer_noise] = NoiseInput((self.classes,), self.answer.stream)
        return found

    @property
    def answer_noise(self) -> str:
        """The name of the uniform numbers of an answer that is drawn."""
        return noise_name(self.output)

    @property
    def output_shape(self) -> Shape:
        """The shape of the outputs of a step: `[K]`, or `[K, A]` of A cells."""
        return self.shapes[self.output]

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return self.output_shape[0]

    def is_binary(self, name: str) -> bool:
        """Return whether the value of a node is 0 or 1 for every input."""
        return name in self._binary

    @cached_property
    def _binary(self) -> frozenset[str]:
        found: set[str] = set()
        for node in self.nodes:
            if node.is_binary([name in found for name in node.inputs]):
                found.add(node.name)
        return frozenset(found)

    def with_nodes(self, nodes: Mapping[str, Node]) -> Graph:
        """Return the graph with the nodes of these names replaced."""
        return replace(self, nodes=tuple(nodes.get(node.name, node) for node in self.nodes))
