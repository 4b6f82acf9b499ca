"""The nodes of a NIR graph as one layer of a network, loops included."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...formats.execution_order import execution_order
from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from ..layers.spiking import SpikingLayer, signal_of
from ..stepwise import Step, stepper
from .blocks import Block, blocks_of, checked_edges, late_at_neurons, only_node
from .layers import Flatten, Threshold, Unflatten
from .loop import lower_loop, own_spikes
from .neuron import NirNeuron
from .nodes import ARRAYS, Setting, Shape, check_node, module_of, shape_after

GIVEN = "\0"  # in place of a node: what the network is given, which the Input reads


class NirGraph(Layer):
    """A NIR graph with one input and one output: `[T, B, ...] -> [T, B, K]`.

    Nodes are computed in the order of `execution_order`: a loop takes one step, and nothing comes
    out of it in the first. Several edges into a node are summed. The output is flattened.

    A node is the child of its name, in which `.` and `/` are written `_`.

    Args:
        nodes: by name, as `check_node` requires them.
        edges: pairs of names.
        in_shape: of a sample at one step; as many values as the Input has.
        setting: what the nodes share.

    Raises:
        ConfigError: a node or edge is not possible, or there are several inputs or outputs.
        DataError: a loop without a state.
    """

    without_ann = "its neurons are nodes of a NIR file, and model.neuron does not replace them"

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, Any]],
        edges: Sequence[Sequence[str]],
        in_shape: Shape,
        setting: Setting,
    ) -> None:
        super().__init__()
        for name, node in nodes.items():
            check_node(name, node)
        if GIVEN in nodes:
            raise ConfigError(f"a node cannot be called {GIVEN!r}", remedy="give it another name")
        pairs = self.edges = checked_edges(nodes, edges)
        self.nodes = {name: dict(node) for name, node in nodes.items()}
        self.input, self.output = (only_node(nodes, kind) for kind in ("Input", "Output"))
        kinds = self.kinds = {name: str(node["type"]) for name, node in nodes.items()}
        order, self.delayed = execution_order(kinds, pairs)
        if setting.semantics.recurrent_bias:
            self.delayed = late_at_neurons(kinds, pairs, self.delayed)
        self.sources: dict[str, list[str]] = {name: [] for name in nodes}
        self.sources[self.input].append(GIVEN)
        for source, target in pairs:
            self.sources[target].append(source)
        self.blocks = blocks_of(order, self.sources, self.delayed, self.output)
        self.order = [name for block in self.blocks for name in block.names]
        self.keys: dict[str, str] = {}
        needed = set(self.order)
        self._build([name for name in order if name in needed], nodes, in_shape, setting)

    def _build(
        self,
        order: Sequence[str],
        nodes: Mapping[str, Mapping[str, Any]],
        in_shape: Shape,
        setting: Setting,
    ) -> None:
        """Make a module of each node, in order, since a node may depend on what it reads."""
        in_shape = tuple(in_shape)
        loops = {name for block in self.blocks if block.loops for name in block.names}
        shapes: dict[str, Shape] = {GIVEN: in_shape}
        self.reads: dict[str, Shape] = {}
        for name in order:
            known = [shapes[source] for source in self.sources[name] if source in shapes]
            if not known:
                raise ConfigError(f"the node {name!r} reads no node", why="it has no edges into it")
            shape = self.reads[name] = known[0]
            if name == self.input:
                module = _entry(in_shape, tuple(int(each) for each in nodes[name]["shape"]))
            elif name == self.output:
                module = Flatten(-len(shape), -1, shape)
            else:
                looped = name in loops
                module = module_of(name, nodes[name], shape, setting, looped=looped)
            self._add(name, module)
            shapes[name] = shape_after(name, module, shape)
        for name in self.order:
            found = {shapes[source] for source in self.sources[name]}
            if len(found) > 1:
                shown = ", ".join(str(list(each)) for each in sorted(found))
                raise ConfigError(f"the node {name!r} adds values of the shapes {shown}")
        self.features = shapes[self.output][0]

    def _add(self, name: str, module: nn.Module) -> None:
        key = name.replace(".", "_").replace("/", "_") or "_"
        while hasattr(self, key):
            key += "_"
        self.add_module(key, module)
        self.keys[name] = key

    def node(self, name: str) -> nn.Module:
        """Return the module of a node."""
        return self._modules[self.keys[name]]  # type: ignore[return-value]

    def arrays(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a node by the names of the format."""
        module: Any = self.node(name)
        for inner in ("layer", "neuron"):
            module = getattr(module, inner, module)
        return {field: getattr(module, field) for field in ARRAYS.get(self.kinds[name], ())}

    def forward(self, x: Tensor) -> Tensor:
        values = {GIVEN: x}
        for block in self.blocks:
            if block.loops:
                self._loop(block, values, len(x))
            else:
                (name,) = block.names
                values[name] = self.node(name)(_sum([values[s] for s in self.sources[name]]))
        return values[self.output]

    def _loop(self, block: Block, values: dict[str, Tensor], steps: int) -> None:
        """Compute the nodes of a loop one step after another."""
        step = self._step(block.names, _with_gradient)
        inside = set(block.names)
        outside = {s for name in block.names for s in self.sources[name] if s not in inside}
        found: dict[str, list[Tensor]] = {name: [] for name in block.names}
        for t in range(steps):
            now = step({name: values[name][t] for name in outside})
            for name in block.names:
                found[name].append(now[name])
        for name, each in found.items():
            module, value = self.node(name), torch.stack(each)
            values[name] = module.sent(value) if isinstance(module, SpikingLayer) else value

    def _step(
        self, names: Sequence[str], of: Callable[[nn.Module], Step]
    ) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
        """Return a function that computes one step after another of some nodes, from rest.

        It takes the values of nodes before them by name, and returns those of all.

        Args:
            names: in order.
            of: returns the function of a step of a module.
        """
        steps = {name: of(self.node(name)) for name in names}
        before: dict[str, Tensor] = {}

        def step(given: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal before
            now = dict(given)
            for name in names:
                values = [
                    (before if (source, name) in self.delayed else now).get(source)
                    for source in self.sources[name]
                ]
                present = [each for each in values if each is not None]
                if not present:  # in the first step, of a node that only reads the step before
                    like = next(iter(now.values()))
                    present = [like.new_zeros(len(like), *self.reads[name])]
                now[name] = steps[name](_sum(present))
            before = now
            return now

        return step

    def stepper(self) -> Step:
        step = self._step(self.order, stepper)
        return lambda x: step({GIVEN: x})[self.output]

    def lower(self, graph: Lowering, name: str) -> None:
        """Add the nodes to an export graph; a loop has to be one layer of neurons that reads its
        own spikes through weights.

        Raises:
            ConfigError: another loop, or a node that the graph cannot express.
        """
        lowered = {GIVEN: graph.at}
        for block in self.blocks:
            if block.loops:
                self._lower_loop(graph, name, block, lowered)
                continue
            (node,) = block.names
            key = self.keys[node]
            begin = self._lower_sum(graph, f"{name}.{key}", self.sources[node], lowered)
            parts = nn.Sequential(OrderedDict({key: self.node(node)}))
            lowered[node] = graph.branch(f"{name}.", parts, begin)

    def _lower_loop(
        self, graph: Lowering, name: str, block: Block, lowered: dict[str, str]
    ) -> None:
        """Add a layer of neurons that reads its own spikes of the step before."""
        neuron, weights = own_spikes(
            block.names,
            self.node,
            self.sources.__getitem__,
            lambda of: [node for node in self.order if of in self.sources[node]],
        )
        path = f"{name}.{self.keys[neuron]}"
        outside = [source for source in self.sources[neuron] if source != weights]
        at = self._lower_sum(graph, path, outside, lowered)
        late = (weights, neuron) in self.delayed
        lowered[neuron] = lower_loop(
            graph, path, self.node(neuron), self.node(weights), at, late=late
        )

    def _lower_sum(
        self, graph: Lowering, name: str, sources: Sequence[str], lowered: Mapping[str, str]
    ) -> str:
        """Return the node with the sum of others, which is added if there are several."""
        if len(sources) == 1:
            return lowered[sources[0]]
        graph.add("Add", f"{name}.sum", tuple(lowered[source] for source in sources))
        return graph.at

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        signals = {GIVEN: x}
        for node in self.order:
            given = [signals.get(each) or self._sends(each) for each in self.sources[node]]
            if len(given) > 1:
                spikes = all(each.kind in ("spikes", "counts") for each in given)
                given = [Signal("counts") if spikes else VALUES]
            signals[node] = found.visit(f"{name}.{self.keys[node]}", self.node(node), given[0])
        return signals[self.output]

    def _sends(self, name: str) -> Signal:
        """Return what a node sends that is computed later in a loop."""
        module = self.node(name)
        return signal_of(module.neuron) if isinstance(module, SpikingLayer) else VALUES


def _entry(in_shape: Shape, shape: Shape) -> nn.Module:
    """Return the layer from samples to those of the Input.

    Raises:
        ConfigError: they have other numbers of values, or axes that do not follow from each other.
    """
    if in_shape == shape:
        return nn.Identity()
    if math.prod(in_shape) == math.prod(shape):
        if len(shape) == 1:
            return Flatten(-len(in_shape), -1, in_shape)
        if len(in_shape) == 1:
            return Unflatten(shape)
    raise ConfigError(
        f"the network takes samples of the shape {list(shape)}, not {list(in_shape)}",
        why="that is the shape of its Input",
        remedy="choose other data, or another code of them",
    )


def _with_gradient(module: nn.Module) -> Step:
    """Return the function of a step of a module, through whose states gradients flow."""
    inner = module.neuron if isinstance(module, SpikingLayer) else module
    if isinstance(inner, NirNeuron | Threshold):
        return inner.step_from_rest()
    return stepper(inner)


def _sum(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for each in values[1:]:
        total = total + each
    return total


def graph_of(model: nn.Module) -> NirGraph | None:
    """Return the NIR graph of a network that was imported; None of another network."""
    return next((part for part in model.modules() if isinstance(part, NirGraph)), None)
