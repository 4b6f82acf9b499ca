"""Folded layers as nodes of the graph, where some read values of the step before.

The graph has no loops, but recurrent neurons and filters:

    spikes of N at t - 1, through W, added to the input of N     N with recurrent weights W
    y_t = b y_{t-1} + x_t                                        a filter with the pole b
    elementwise functions of values of each other, and of the step before      see `by_hand`
    another value of the step before                             a shift
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..graph import ir as g
from .by_hand.equations import FEEDBACK, Equations, is_equation, require_equations
from .by_hand.loops import in_order, merged, used
from .folding import Edge, FoldedLayer, Folding, Operand
from .kinds import is_snntorch, refusal
from .names import Names
from .values import Const
from .varying import over_steps_of


@dataclass
class _Feedback:
    """What the spikes of a neuron add to its own input in the next step.

    Attributes:
        weight: of all paths, summed.
        bias: that those paths add in every step.
    """

    weight: g.Array | None = None
    bias: g.Array | None = None

    def add(self, weight: g.Array, bias: g.Array | None, sign: float) -> None:
        weight = weight * np.float32(sign)
        self.weight = weight if self.weight is None else self.weight + weight
        if bias is not None and bias.any():
            bias = bias * np.float32(sign)
            self.bias = bias if self.bias is None else self.bias + bias


def nodes_of_layers(
    folding: Folding, output: str, steps: int
) -> tuple[list[g.Node], str, dict[str, str]]:
    """Return the nodes that the value of a layer needs, in order, the node with that value, and by
    layer the nodes that are neurons written by hand.

    Raises:
        ConfigError: the graph cannot express a loop over the steps, or a layer.
    """
    return _Emission(dict(folding.layers), folding, steps).emit(output)


@dataclass
class _Emission:
    """Makes the nodes of folded layers.

    Attributes:
        weights: recurrent ones, by neuron.
        at: the node with the value of each layer.
    """

    layers: dict[str, FoldedLayer]
    folding: Folding
    steps: int
    weights: dict[str, g.Array] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=lambda: {g.INPUT: g.INPUT})
    nodes: list[g.Node] = field(default_factory=list)

    def emit(self, output: str) -> tuple[list[g.Node], str, dict[str, str]]:
        for layer in self.layers.values():
            if layer.varies:  # it is no recurrent weight, and no pole
                layer.weights, layer.factor, layer.signs = None, None, ()
        self.layers, output = merged(self.layers, output)
        for name in self.used(output):
            layer = self.layers[name]
            if layer.neuron is not None and not layer.membrane_of:
                self.fold_feedback(layer)
        for name in self.used(output):
            self.fold_filter(self.layers[name])
        for layer in self.layers.values():
            if layer.membrane_of:
                layer.operands = self.layers[layer.membrane_of].operands
        for names in in_order(self.layers, output):
            if len(names) > 1 or is_equation(self.layers[names[0]]):
                self.make_equations(names, output)
            else:
                self.make(self.layers[names[0]])
        neurons = {node.name for node in self.nodes if isinstance(node, g.Neuron | g.Cell)}
        by_hand = {
            name: node
            for name, node in self.at.items()
            if node in neurons and self.layers[name].elementwise is not None
        }
        return self.nodes, self.at[output], by_hand

    def used(self, output: str) -> list[str]:
        """Return the layers that a layer reads, itself included, in the order of their calls."""
        return used(self.layers, output)

    # Neurons written by hand

    def make_equations(self, names: list[str], output: str) -> None:
        """Make a node of layers that read each other's values, for each value that others read."""
        layers = {name: self.layers[name] for name in names}
        require_equations(layers)
        others = [self.layers[name] for name in self.used(output) if name not in layers]
        read = {edge.layer for layer in others for edge in layer.edges} | {output}
        wanted = [name for name in names if name in read]
        # Spikes first, of which other values are then functions.
        wanted.sort(key=lambda name: not self.equations(layers, name)[-1].is_binary([]))
        for name in wanted:
            nodes = self.equations(layers, name)
            self.nodes += nodes
            self.at[name] = nodes[-1].name
            del layers[name]

    def equations(self, layers: dict[str, FoldedLayer], name: str) -> list[g.Node]:
        """Return the nodes of equations of which the value of a layer is needed."""
        needed = used(self.layers, name, [n for n in self.layers if n in self.at])
        chosen = {n: layer for n, layer in layers.items() if n in needed}
        names = Names()
        for taken in [*(n for n in self.layers if n not in layers), *(n.name for n in self.nodes)]:
            names.reserve(taken)
        free = names.of(layers[name].module or "neuron", "neuron")
        return Equations(chosen, name, self.delayed).nodes(free)

    # Loops

    def fold_feedback(self, layer: FoldedLayer) -> None:
        """Give a neuron the weights through which it reads its own spikes."""
        found = _Feedback()
        (source,) = layer.operands
        total = self.without(layer, source, found)
        if found.weight is None:
            return
        if not is_snntorch(layer.neuron):
            why = "its spikes are fed back to its own input"
            remedy = "use a neuron of snnTorch, or one whose lower says its recurrent weights"
            raise refusal(layer.where, layer.neuron, why, remedy)
        if not isinstance(total, Edge):
            raise refusal(
                layer.where, layer.neuron, "it reads nothing but its own spikes", FEEDBACK
            )
        if found.bias is not None:
            total = self.added(layer, total, np.asarray(found.bias, np.float32))
        layer.operands = [total]
        self.weights[layer.name] = np.asarray(found.weight, np.float32)

    def without(
        self, neuron: FoldedLayer, operand: Operand, found: _Feedback, sign: float = 1.0
    ) -> Operand | None:
        """Return what a neuron reads without its own spikes of the step before, which are added to
        `found`; None if nothing is left."""
        layer = self.layers.get(operand.layer) if isinstance(operand, Edge) else None
        if not isinstance(operand, Edge) or layer is None:
            return operand
        own = self.feedback(neuron, operand, layer)
        if own is not None:
            weight, bias, rest = own
            found.add(weight, bias, sign)
            return rest
        if not layer.signs or operand.lag or not self.reaches(layer, neuron):
            return operand
        signed = list(zip(layer.operands, layer.signs, strict=True))
        parts = [self.without(neuron, part, found, sign * of) for part, of in signed]
        if parts == layer.operands:
            return operand
        left = [(part, of) for part, of in zip(parts, layer.signs, strict=True) if part is not None]
        if len(left) == len(parts):
            return self.layer(layer, layer.where, ("part", layer.name), [p for p, _ in left],
                              layer.make)  # fmt: skip
        return self.signed(neuron, *left[0]) if left else None

    def reaches(self, layer: FoldedLayer, neuron: FoldedLayer) -> bool:
        return neuron.name in self.used(layer.name)

    def feedback(
        self, neuron: FoldedLayer, edge: Edge, layer: FoldedLayer
    ) -> tuple[g.Array, g.Array | None, Operand | None] | None:
        """Return weight and bias of a path from the spikes of the step before, and what else it
        reads; None if it is no such path.

        Of a linear layer of the input and the spikes joined, the part that reads the input becomes
        a layer of its own.
        """
        own = Edge(neuron.name, 1)
        if edge == own:
            return _diagonal(neuron, np.ones((1, 1), np.float32)), None, None
        if len(layer.edges) != 1:
            return None
        read = _later(layer.edges[0], edge)
        if read == own and layer.factor is not None:
            return _diagonal(neuron, layer.factor), None, None
        if layer.weights is None:
            return None
        weight, bias = layer.weights
        if read == own:
            return weight, bias, None
        joined = self.layers.get(read.layer)
        if joined is None or not joined.widths or weight.ndim != 2:
            return None
        parts = [_later(part, read) if isinstance(part, Edge) else part for part in joined.operands]
        if own not in parts:
            return None
        recurrent, rest = np.zeros((len(weight), neuron.shape[0]), np.float32), None
        pieces = np.split(weight, np.cumsum(joined.widths)[:-1], axis=1)
        for part, piece in zip(parts, map(np.ascontiguousarray, pieces), strict=True):
            if part == own:
                recurrent = recurrent + piece
            elif isinstance(part, Const):
                raise refusal(joined.where, "cat", "it joins a constant", "use a bias instead")
            else:
                of_part = self.linear(layer, part, piece)
                rest = of_part if rest is None else self.added(neuron, rest, of_part)
        return recurrent, bias, rest

    def fold_filter(self, layer: FoldedLayer) -> None:
        """Make a filter of a value that is added to itself in every step."""
        if layer.signs != (1.0, 1.0):
            return
        for own, other in (layer.operands, layer.operands[::-1]):
            pole = self.pole(layer, own)
            if pole is None or not isinstance(other, Edge):
                continue
            if layer.name in self.used(other.layer):
                continue
            rows = np.asarray(pole, np.float32).reshape(1, -1)

            def make(name: str, inputs: list[Any], rows: Any = rows) -> list[g.Node]:
                return [_filter(name, inputs[0], rows)]

            layer.operands, layer.make = [other], make
            return

    def pole(self, layer: FoldedLayer, operand: Operand) -> g.Array | None:
        """Return by what a layer multiplies its own value of the step before; None if it does
        not."""
        if operand == Edge(layer.name, 1):
            return np.ones(1, np.float32)
        scaled = self.layers.get(operand.layer) if isinstance(operand, Edge) else None
        if scaled is None or scaled.factor is None or len(scaled.edges) != 1:
            return None
        if _later(scaled.edges[0], operand) != Edge(layer.name, 1):  # type: ignore[arg-type]
            return None
        return scaled.factor.reshape(-1)

    # New layers

    def signed(self, after: FoldedLayer, x: Operand, sign: float) -> Operand:
        """Return a value times a number."""
        if sign == 1:
            return x
        if isinstance(x, Const):
            return Const.of(x.tensor * sign)
        factor = np.full((1, 1), sign, np.float32)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            scale = {"factor": factor, "offset": 0 * factor}
            return [g.ChannelScale(name=name, inputs=tuple(inputs), **scale)]

        return self.layer(after, f"{after.where}_term", ("signed", after.name), [x], make)

    def added(self, after: FoldedLayer, x: Operand, y: Any) -> Edge:
        """Return the sum of two values, or of a value and one number for each channel."""
        constant = isinstance(y, np.ndarray)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            if not constant:
                return [g.Add(name=name, inputs=tuple(inputs))]
            offset = y.reshape(1, -1)
            scale = {"factor": np.ones_like(offset), "offset": offset}
            return [g.ChannelScale(name=name, inputs=tuple(inputs), **scale)]

        operands = [x] if constant else [x, y]
        return self.layer(after, f"{after.where}_input", ("sum", after.name), operands, make)

    def linear(self, of: FoldedLayer, x: Any, weight: g.Array) -> Edge:
        bias = np.zeros(len(weight), np.float32)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
            return [g.Linear(name=name, inputs=tuple(inputs), **arrays)]

        return self.layer(of, of.where, ("part", of.name), [x], make)

    def layer(
        self, of: FoldedLayer, where: str, key: Hashable, operands: list[Operand], make: Any
    ) -> Edge:
        name = self.folding.names.of(where, of.kind)
        self.folding.names.reserve(name)
        self.layers[name] = FoldedLayer(name, where, key, operands, of.shape, make)
        return Edge(name, 0)

    # Nodes

    def make(self, layer: FoldedLayer) -> None:
        inputs = [
            self.delayed(operand) if isinstance(operand, Edge) else operand
            for operand in layer.operands
        ]
        more = {}
        weight = self.weights.get(layer.membrane_of or layer.name)
        if weight is not None:
            more["recurrent"] = weight
        if layer.varies:
            nodes = self.varying(layer, inputs)
        else:
            nodes = layer.make(layer.name, inputs, **more)  # type: ignore[call-arg]
        if layer.membrane_of in self.at:
            nodes = self.without_known(layer, nodes)
        self.nodes += nodes
        self.at[layer.name] = nodes[-1].name if nodes else next(
            each for each in inputs if isinstance(each, str)
        )  # fmt: skip

    def varying(self, layer: FoldedLayer, inputs: list[Any]) -> list[g.Node]:
        """Return the nodes of a layer whose numbers differ between steps."""
        of_steps = []
        for t in range(self.steps):
            call = layer.calls.get(t, layer.calls[0])
            given = [x if c is None else c for x, c in zip(inputs, call.constants, strict=True)]
            of_steps.append(call.make(layer.name, given))
        source = next(x for x in inputs if isinstance(x, str))
        return over_steps_of(layer.where, of_steps, source)

    def without_known(self, layer: FoldedLayer, nodes: list[g.Node]) -> list[g.Node]:
        """Return the nodes of a membrane without those that its neuron has too."""
        of = layer.membrane_of
        known = {node.name for node in self.nodes}
        same = {f"{layer.name}.spikes": self.at[of]}
        same |= {f"{layer.name}.{x}": f"{of}.{x}" for x in ("bias", "current", "spikes")
                 if f"{of}.{x}" in known}  # fmt: skip
        return [
            replace(node, inputs=tuple(same.get(name, name) for name in node.inputs))
            for node in nodes
            if node.name not in same
        ]

    def delayed(self, edge: Edge) -> str:
        """Return the node with a value of an earlier step."""
        name = self.at[edge.layer]
        for _ in range(edge.lag):
            before = f"{name}.before"
            if all(node.name != before for node in self.nodes):
                self.nodes.append(g.Shift(name=before, inputs=(name,), by=1))
            name = before
        return name


def _diagonal(neuron: FoldedLayer, factor: g.Array) -> g.Array:
    """Return recurrent weights by which each spike reads itself, times a factor `[1, C]` or
    `[1, 1]`."""
    weight = np.eye(neuron.shape[0], dtype=np.float32) * factor
    return weight if len(neuron.shape) == 1 else weight[:, :, None, None]


def _later(read: Edge, by: Edge) -> Edge:
    """Return an edge of a layer, seen from what reads that layer."""
    return Edge(read.layer, read.lag + by.lag, read.start or by.start)


def _filter(name: str, source: str, poles: g.Array) -> g.Node:
    return g.Filter(name=name, inputs=(source,), poles=poles, gain=np.ones(1, np.float32))
