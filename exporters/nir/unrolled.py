"""A network of any schedule in NIR, exactly: its T steps unrolled in space, as a chain.

    gain_t = b_t x_t                    Scale
    leak_t = a_t (u_{t-1} + neg_{t-1})  Scale of two in-edges
    u_t = gain_t + leak_t               Scale by 1
    s_t = H(u_t - θ)                    Threshold
    neg_t = -size s_t                   Scale

The graph is run once: its input holds all steps of the code, `[T·C, H, W]` (`[C, H, W]` where all
steps are the same), its output is the mean of the logits over the steps, `[K]`.
"""

from __future__ import annotations

import nir
import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import INPUT, Affine, Array, Graph, Neuron, Node, Readout
from .layers import add_layer, refuse_products
from .nodes import NirBuilder, Style, pointwise

OUTPUT = "output"


def step_name(graph: Graph, name: str, t: int) -> str:
    """Return what the value of a layer at a step is called in NIR."""
    return name if name in graph.still or graph.steps == 1 else f"{name}_t{t}"


def input_of(graph: Graph, code: Array) -> Array:
    """Return the input of the unrolled graph, `[B, T·C, H, W]`, of a code `[T, B, C, H, W]`."""
    if graph.static:
        return np.ascontiguousarray(code[0])
    stacked = np.moveaxis(code, 0, 1)
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1, *code.shape[3:]))


def unroll(graph: Graph, style: Style, metadata: dict[str, object]) -> nir.NIRGraph:
    """Return a network unrolled over its steps.

    Raises:
        ConfigError: a layer cannot be said in NIR.
    """
    refuse_products(graph)
    return _Unrolling(graph, style).build(metadata)


class _Unrolling:
    """Walks through the graph, step by step within each layer.

    The value of a layer at a step is the names of the nodes whose sum it is.
    """

    def __init__(self, graph: Graph, style: Style) -> None:
        self.graph = graph
        self.sketch = NirBuilder(style)
        self.values: dict[str, list[tuple[str, ...]]] = {}

    def build(self, metadata: dict[str, object]) -> nir.NIRGraph:
        self.values[INPUT] = self.read()
        for node in self.graph.nodes:
            if node.name in self.graph.still:
                one = self.layer(node, 0)
                self.values[node.name] = [one] * self.graph.steps
            elif isinstance(node, Neuron):
                self.values[node.name] = self.neuron(node)
            else:
                steps = range(self.graph.steps)
                self.values[node.name] = [self.layer(node, t) for t in steps]
        sources = [name for names in self.values[self.graph.output] for name in names]
        classes = (self.graph.classes,)
        last = self.sketch.scale("mean_logits", np.ones(1, np.float32), classes, *sources)
        self.sketch.add(OUTPUT, nir.Output({"output": np.array(classes)}), last)
        return self.sketch.finish(metadata)

    def read(self) -> list[tuple[str, ...]]:
        """Add the input, and what picks each step's channels out of it."""
        graph = self.graph
        channels, *size = graph.in_shape
        together = 1 if graph.static else graph.steps
        shape = (together * channels, *size)
        source = self.sketch.add(INPUT, nir.Input({"input": np.array(shape)}))
        if together == 1:
            return [(source,)] * graph.steps
        picked = []
        for t in range(graph.steps):
            pick = np.zeros((channels, shape[0]), np.float32)
            pick[np.arange(channels), t * channels + np.arange(channels)] = 1
            node = nir.Linear(pick)
            if size:
                node = pointwise(pick, np.zeros(channels, np.float32), shape)
            picked.append((self.sketch.add(f"code_t{t}", node, source),))
        return picked

    def layer(self, node: Node, t: int) -> tuple[str, ...]:
        """Add a layer without memory at one step."""
        graph, sketch = self.graph, self.sketch
        sources = [self.values[name][t] for name in node.inputs]
        name = step_name(graph, node.name, t)
        first = sources[0]
        if isinstance(node, Affine):
            before = graph.shapes[node.inputs[0]]
            return (sketch.affine(name, node, node.of_step[t], before, *first),)
        if isinstance(node, Readout):
            share = np.float32(node.scale[t] / graph.steps)
            affine = nir.Affine(node.weight * share, node.bias * share)
            return (sketch.add(f"{node.name}_t{t}", affine, *first),)
        return add_layer(sketch, graph, node, name, t, sources)

    def neuron(self, node: Neuron) -> list[tuple[str, ...]]:
        """Add the chain of a neuron's steps."""
        graph, sketch = self.graph, self.sketch
        if node.reset == "zero" and graph.steps > 1:
            raise ConfigError(
                f"layer {node.name!r} resets its membrane to zero, which NIR cannot unroll",
                why="v (1 - s) is a product of two signals, and NIR has no node for one",
                remedy="use --form lif, or train with neuron.reset=subtract",
            )
        shape = graph.shapes[node.name]
        if sketch.style == "portable" and not (node.threshold > 0).all():
            raise ConfigError(
                f"layer {node.name!r} has a threshold that is not above 0",
                why="portable neurons begin at 0 and would fire without input",
                remedy="use --form pure",
            )
        spikes: list[tuple[str, ...]] = []
        one = np.ones(1, np.float32)
        membrane: tuple[str, ...] = ()
        for t, sources in enumerate(self.values[node.inputs[0]]):
            name = step_name(graph, node.name, t)
            current = sources
            if (node.gain[t] != 1).any() or len(sources) > 1:
                current = (sketch.scale(f"{name}_gain", node.gain[t], shape, *sources),)
            total = current
            if membrane and node.leak[t].any():
                leaked = sketch.scale(f"{name}_leak", node.leak[t], shape, *membrane)
                total = (sketch.scale(f"{name}_membrane", one, shape, leaked, *current),)
            spikes.append((sketch.threshold(name, node.threshold[t], shape, *total),))
            membrane = total
            if t + 1 < graph.steps and node.reset == "subtract":
                drop = sketch.scale(f"{name}_reset", -node.size[t], shape, name)
                membrane = (*total, drop)
        return spikes
