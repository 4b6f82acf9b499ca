"""Neurons that a forward writes by hand, as nodes of the graph.

Elementwise layers that read each other's values, some of them of a step before, are the equations
of one node; what they read of a step before are its states.

    v_t = b u_{t-1} + x_t,   s_t = [v_t > 1],   u_t = v_t - s_t      a node with the state u

(`known` finds that these are the graph's `Neuron`).

A state that begins at another value than 0 is read as that until the state `begun`, 0 in the first
step, is 1. Weights W of a value y of the step before are recurrent weights of the node: its first
input is their bias b then, whose place b + W y_{t-1} takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import torch

from ....core.errors import ConfigError
from ...graph import ir as g
from ...graph.equations import traced
from ..elementwise import spikes_or_values
from ..folding import Edge, FoldedLayer
from ..kinds import refusal
from ..values import Const
from .known import known_neuron

BEGUN = "begun"
ONE_POPULATION = (
    "make one neuron of all that feed each other, whose spikes reach all of them a step later "
    "through one linear layer: lif(torch.cat([a, b], 1) + rec(spk), mem)"
)


FEEDBACK = (
    "feed the spikes of a neuron back to its own input, through one linear layer or convolution: "
    "spk, mem = lif(fc(x[t]) + rec(spk), mem)"
)
ADD_INPUT = "add a value of the input to its membrane: mem = beta * mem + fc(x[t])"


def is_equation(layer: FoldedLayer) -> bool:
    """Return whether a layer is a function of its own value, or of a state that does not begin at
    0."""
    return any(edge.layer == layer.name or edge.start is not None for edge in layer.edges)


def require_equations(layers: Mapping[str, FoldedLayer]) -> None:
    """Refuse layers that feed each other and are no equations of one neuron."""
    for layer in layers.values():
        if layer.varies:
            raise ConfigError(
                f"{layer.where!r} in the forward cannot be exported",
                why="its numbers differ between the steps of a neuron by hand",
                remedy="use the same numbers in every step, or a neuron of asnn.models, whose "
                "parameters may differ",
            )
        weighs = layer.weights is not None and layer.neuron is None
        if not (weighs or layer.elementwise is not None):
            loop = " → ".join(each.where for each in layers.values())
            alone = sum(each.neuron is not None for each in layers.values()) == 1
            raise ConfigError(
                "the forward feeds values back in a way that exports do not have",
                why=f"a loop over the steps: {loop}",
                remedy=FEEDBACK if alone else ONE_POPULATION,
            )


@dataclass
class Equations:
    """The equations of layers that are one node.

    Attributes:
        layers: elementwise ones, and at most one with weights.
        output: the layer whose value is that of the node.
        node_of: returns the node with the value of another layer.
    """

    layers: dict[str, FoldedLayer]
    output: str
    node_of: Callable[[Edge], str]

    def __post_init__(self) -> None:
        weights = [layer for layer in self.layers.values() if layer.elementwise is None]
        self.weights = weights[0] if weights else None
        self.sources: dict[Edge, str] = {}
        self.states: dict[Edge, str] = {}
        self.starts: dict[Edge, Any] = {}
        before: dict[str, set[str]] = {}  # of each layer those of the same step
        for layer in self.layers.values():
            if layer is not self.weights:
                edges = [self.found(layer, edge) for edge in layer.edges]
                before[layer.name] = {e.layer for e in edges if not e.lag} & self.layers.keys()
        self.order = list(TopologicalSorter(before).static_order())
        if len(weights) > 1:
            names = " and ".join(repr(layer.where) for layer in weights)
            why = f"{names} feed values of neurons back to the same neurons"
            raise refusal(weights[-1].where, weights[-1].kind, why, ONE_POPULATION)
        if not self.sources:
            why = "the neuron reads nothing but its own values"
            raise ConfigError(f"{self.output!r} cannot be exported", why=why, remedy=ADD_INPUT)

    def found(self, layer: FoldedLayer, edge: Edge) -> Edge:
        """Note a source or a state that a layer reads, and return what it reads in the end."""
        if edge.start is not None and layer.elementwise is not None:
            start = layer.elementwise.tensor(edge.start)
            self.starts |= {edge._replace(lag=lag + 1): start for lag in range(edge.lag)}
        if self.weights is not None and edge.layer == self.weights.name:
            (read,) = self.weights.edges
            edge = Edge(read.layer, read.lag + edge.lag)
            if edge.lag != 1:
                when = f"{edge.lag} steps before" if edge.lag else "the same step"
                why = f"it feeds a value of {when} back"
                raise refusal(self.weights.where, self.weights.kind, why, ONE_POPULATION)
            self.states[edge] = "s"
        elif edge.lag and (edge.layer in self.layers or edge.start is not None):
            for lag in range(1, edge.lag + 1):
                self.states.setdefault(edge._replace(lag=lag), f"v{len(self.states) + 1}")
            if edge.layer not in self.layers:
                now = Edge(edge.layer, 0)
                self.sources[now] = self.node_of(now)
        elif edge.layer not in self.layers:
            self.sources[edge] = self.node_of(edge)
        return edge

    def nodes(self, name: str) -> list[g.Node]:
        """Return the nodes, the last of which has a name."""
        states = list(self.states.values()) + [BEGUN] * bool(self.starts)
        sources, recurrent = list(self.sources.values()), None
        before: list[g.ChannelScale] = []
        if self.weights is not None:
            assert self.weights.weights is not None
            weight, bias = self.weights.weights
            offset = np.asarray(bias, np.float32).reshape(1, -1)
            scale = {"factor": np.zeros_like(offset), "offset": offset}
            before = [g.ChannelScale(name=f"{name}.bias", inputs=(sources[0],), **scale)]
            sources, recurrent = [before[0].name, *sources], torch.from_numpy(weight)
        node = traced(
            g.Dynamics, name, tuple(sources), self.step, states, {}, 1, recurrent=recurrent
        )
        neuron = known_neuron(node)
        if neuron is not None:
            factor = [
                replace(scale, inputs=neuron.inputs, factor=scale.factor + 1) for scale in before
            ]
            return [*factor, replace(neuron, inputs=(factor[0].name,)) if factor else neuron]
        return [*before, spikes_or_values(node)]

    def step(self, *given: Any) -> tuple[Any, ...]:
        """Return the value of the output and of the states after a step."""
        rest = iter(given)
        fed_back = next(rest) if self.weights is not None else None
        values = {edge: next(rest) for edge in self.sources}
        held = {edge: next(rest) for edge in self.states}
        begun: Any = next(rest, None)

        def read(edge: Edge, value: Any) -> Any:
            start = self.starts.get(edge)
            return value if start is None else torch.where(begun, value, start)

        def operand(x: Any) -> Any:
            if isinstance(x, Const):
                return x
            if self.weights is not None and x.layer == self.weights.name:
                return read(x, fed_back)
            return values[x] if x in values else read(x, held[x])

        for name in self.order:
            layer = self.layers[name]
            assert layer.elementwise is not None
            values[Edge(name, 0)] = layer.elementwise(*map(operand, layer.operands))
        after = []
        for edge in self.states:
            now = edge.lag == 1
            earlier = edge._replace(lag=edge.lag - 1)
            after.append(values[Edge(edge.layer, 0)] if now else read(earlier, held[earlier]))
        if begun is not None:
            after.append((begun >= 0).float())
        return values[Edge(self.output, 0)], *after
