"""A network with any schedule in NIR, exactly: its T steps unrolled in space, as a chain.

    gain_t = b_t x_t                    Scale
    leak_t = a_t (u_{t-1} + neg_{t-1})  Scale of two in-edges
    u_t = gain_t + leak_t               Scale by 1
    s_t = H(u_t - θ)                    Threshold
    neg_t = -size s_t                   Scale

The graph is run once: its input holds all steps of the code, `[T·C, H, W]` (`[C, H, W]` if all
steps are equal), its output is the mean of the logits over the steps, `[K]`.
"""

from __future__ import annotations

import nir
import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import INPUT, Affine, Array, Graph, Neuron, Node, Readout
from .layers import add_layer, refuse_unwritten
from .nodes import NirBuilder, Style, pointwise

OUTPUT = "output"


def step_name(graph: Graph, name: str, t: int) -> str:
    """Return the name of the NIR node with the value of a layer at a step."""
    return name if name in graph.time_invariant or graph.steps == 1 else f"{name}_t{t}"


def input_of(graph: Graph, code: Array) -> Array:
    """Return a code `[T, B, C, H, W]` as the input of the unrolled graph, `[B, T·C, H, W]`."""
    if graph.static:
        return np.ascontiguousarray(code[0])
    stacked = np.moveaxis(code, 0, 1)
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1, *code.shape[3:]))


def unroll(graph: Graph, style: Style, metadata: dict[str, object]) -> nir.NIRGraph:
    """Return a network unrolled over its steps.

    Raises:
        ConfigError: NIR has no exact form of a layer.
    """
    refuse_unwritten(graph)
    return _Unrolling(graph, style).build(metadata)


class _Unrolling:
    """Adds the steps of one layer after another.

    Attributes:
        values: for each layer and step, the names of the NIR nodes whose sum is its value.
    """

    def __init__(self, graph: Graph, style: Style) -> None:
        self.graph = graph
        self.builder = NirBuilder(style)
        self.values: dict[str, list[tuple[str, ...]]] = {}

    def build(self, metadata: dict[str, object]) -> nir.NIRGraph:
        self.values[INPUT] = self.add_input()
        for node in self.graph.nodes:
            if node.name in self.graph.time_invariant:
                one = self.layer(node, 0)
                self.values[node.name] = [one] * self.graph.steps
            elif isinstance(node, Neuron):
                self.values[node.name] = self.neuron(node)
            else:
                steps = range(self.graph.steps)
                self.values[node.name] = [self.layer(node, t) for t in steps]
        sources = [name for names in self.values[self.graph.output] for name in names]
        classes = (self.graph.classes,)
        last = self.builder.scale("mean_logits", np.ones(1, np.float32), classes, *sources)
        self.builder.add(OUTPUT, nir.Output({"output": np.array(classes)}), last)
        return self.builder.finish(metadata)

    def add_input(self) -> list[tuple[str, ...]]:
        """Add the input, and a linear layer for each step that selects its channels."""
        graph = self.graph
        channels, *size = graph.in_shape
        distinct_steps = 1 if graph.static else graph.steps
        shape = (distinct_steps * channels, *size)
        source = self.builder.add(INPUT, nir.Input({"input": np.array(shape)}))
        if distinct_steps == 1:
            return [(source,)] * graph.steps
        steps = []
        for t in range(graph.steps):
            selection = np.zeros((channels, shape[0]), np.float32)
            selection[np.arange(channels), t * channels + np.arange(channels)] = 1
            node = nir.Linear(selection)
            if size:
                node = pointwise(selection, np.zeros(channels, np.float32), shape)
            steps.append((self.builder.add(f"code_t{t}", node, source),))
        return steps

    def layer(self, node: Node, t: int) -> tuple[str, ...]:
        """Add a stateless layer at one step."""
        graph, builder = self.graph, self.builder
        sources = [self.values[name][t] for name in node.inputs]
        name = step_name(graph, node.name, t)
        first = sources[0]
        if isinstance(node, Affine):
            before = graph.shapes[node.inputs[0]]
            return (builder.affine(name, node, node.of_step[t], before, *first),)
        if isinstance(node, Readout):
            share = np.float32(node.scale[t] / graph.steps)
            affine = nir.Affine(node.weight * share, node.bias * share)
            return (builder.add(f"{node.name}_t{t}", affine, *first),)
        return add_layer(builder, graph, node, name, t, sources)

    def neuron(self, node: Neuron) -> list[tuple[str, ...]]:
        """Add the steps of a neuron, as a chain."""
        graph, builder = self.graph, self.builder
        if node.reset == "zero" and graph.steps > 1:
            raise ConfigError(
                f"layer {node.name!r} resets its membrane to zero, which NIR cannot unroll",
                why="v (1 - s) is a product of two signals, and NIR has no node for one",
                remedy="use --form lif, or train with neuron.reset=subtract",
            )
        shape = graph.shapes[node.name]
        if builder.style == "portable" and not (node.threshold > 0).all():
            raise ConfigError(
                f"layer {node.name!r} has a threshold that is not above 0",
                why="portable neurons start from rest at 0 and would fire without input",
                remedy="use --form pure",
            )
        spikes: list[tuple[str, ...]] = []
        one = np.ones(1, np.float32)
        membrane: tuple[str, ...] = ()
        for t, sources in enumerate(self.values[node.inputs[0]]):
            name = step_name(graph, node.name, t)
            current = sources
            if (node.gain[t] != 1).any() or len(sources) > 1:
                current = (builder.scale(f"{name}_gain", node.gain[t], shape, *sources),)
            total = current
            if membrane and node.leak[t].any():
                leaked = builder.scale(f"{name}_leak", node.leak[t], shape, *membrane)
                total = (builder.scale(f"{name}_membrane", one, shape, leaked, *current),)
            spikes.append((builder.threshold(name, node.threshold[t], shape, *total),))
            membrane = total
            if t + 1 < graph.steps and node.reset == "subtract":
                drop = builder.scale(f"{name}_reset", -node.size[t], shape, name)
                membrane = (*total, drop)
        return spikes
