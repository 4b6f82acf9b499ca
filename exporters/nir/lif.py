"""A network in NIR with one LIF, IF or CubaLIF node a layer, where exact.

A LIF node has one time constant for all steps and resets to a value:

    v ← v + dt/τ (r x - v)      H(v - v_threshold)      v ← 0 where it fires

It equals v_t = leak v_{t-1} + gain x_t for τ = dt / (1 - leak), with gain / (1 - leak) folded into
the weights before it (r = 1), if the schedule is constant and the reset is to zero. Without leak
(leak = 1) an IF node with r = 1 / dt computes v ← v + x. A CubaLIF node has a synaptic current:

    i ← i + dt/τ_syn (w_in x - i)

It equals i_t = α i_{t-1} + x_t for τ_syn = dt / (1 - α) and w_in = 1 / (1 - α), and its membrane
equals the one above for r = 1 / (1 - leak) and the gain in the weights: as importers read it.
Recurrent weights are a loop from the node back to it, which takes one step. The graph is run once a
step, on one step of the code; its output is the logits of that step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import nir
import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import (
    INPUT,
    Accumulate,
    Affine,
    Array,
    Cells,
    ChannelScale,
    Filter,
    Graph,
    Neuron,
    Node,
    Readout,
    Shift,
)
from ..remedies import by_origin, joined
from .layers import add_layer, refuse_unwritten
from .nodes import DT, NirBuilder, Style
from .rewrites import with_synapses
from .unrolled import OUTPUT

IN_RECIPES = (
    "train with neuron.schedule=shared, neuron.bounded=true, neuron.reset=zero, "
    "model.output_scale=false and a code with one stem (direct, temporal, embedding)"
)
IN_MODULES = (
    "build the neurons of a layer with one leak and threshold and a reset to zero, "
    "reset_mechanism='zero' of snnTorch's Leaky"
)
APPROXIMATE = "if the weights are the same at all steps, use --allow-approximate and see the loss"
MIN_LEAK, MAX_LEAK = 0.01, 0.99  # of an approximation


@dataclass(frozen=True)
class InexactLayer:
    """A layer that one LIF node cannot express exactly, and the reason."""

    layer: str
    why: str


def inexact_layers(graph: Graph) -> list[InexactLayer]:
    """Return the layers that one LIF node each cannot express exactly."""
    found = []
    for node in graph.nodes:
        if isinstance(node, Neuron):
            found += [InexactLayer(node.name, why) for why in _inexact_because(node, graph.steps)]
        elif isinstance(node, Affine) and len(set(node.of_step)) > 1:
            found.append(InexactLayer(node.name, "its weights differ from step to step"))
        elif isinstance(node, ChannelScale) and not _is_constant(node.factor, node.offset):
            found.append(InexactLayer(node.name, "it differs from step to step"))
        elif isinstance(node, Readout) and not _is_constant(node.scale):
            found.append(InexactLayer(node.name, "its scale differs from step to step"))
        elif isinstance(node, Filter) and node.start is not None and node.start.any():
            found.append(InexactLayer(node.name, "it starts from a learned value, not from 0"))
        elif isinstance(node, Accumulate):
            found.append(InexactLayer(node.name, "its sum is read and cleared once a window"))
        elif isinstance(node, Shift):
            found.append(InexactLayer(node.name, "it reads another step"))
    return found


def _inexact_because(node: Neuron, steps: int) -> list[str]:
    if steps == 1 and node.most == 1:
        return []  # one step from rest has neither leak nor reset
    found = []
    if node.most > 1:
        found.append(f"it sends up to {node.most} spikes in a step, a LIF node one")
    if steps == 1:
        return found
    if node.once:
        return [*found, "it fires once, a LIF node again and again"]
    if not _is_constant(node.leak[1:]) or not _is_constant(node.gain, node.threshold):
        found.append("its leak, gain or threshold differs from step to step")
    if node.reset != "zero":
        found.append(f"its reset is {node.reset!r}, that of a LIF node sets the membrane")
    decays = {"leak": node.leak[1]}
    if node.synapse is not None:
        decays["synapse"] = node.synapse
    for what, decay in decays.items():
        if (decay != decay[0]).any():
            found.append(f"its {what} differs between channels, which no importer reads correctly")
        elif not 0 <= decay[0] < 1 and not (decay[0] == 1 and node.synapse is None):
            why = "is not a decay: it must be 0 or more, and below 1"
            found.append(f"its {what} {decay[0]:.4g} {why}")
    if not (node.threshold > 0).all():
        found.append("its threshold is not above 0")
    return found


def _is_constant(*schedules: Array) -> bool:
    return all(bool((values == values[:1]).all()) for values in schedules)


def approximated(graph: Graph) -> Graph:
    """Return a graph that one LIF node a layer expresses exactly: means over steps and channels.

    `build_lif` refuses weights that differ from step to step.
    """
    changed: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node, Neuron):
            leak = node.leak[1:].mean() if graph.steps > 1 else node.leak.mean()
            leak = np.full_like(node.leak[:, :1], np.clip(leak, MIN_LEAK, MAX_LEAK))
            gain, threshold = (_mean(part) for part in (node.gain, node.threshold))
            changed[node.name] = replace(
                node, leak=leak, gain=gain, threshold=threshold, size=threshold,
                reset="zero", once=False,
            )  # fmt: skip
        elif isinstance(node, ChannelScale):
            factor, offset = _mean(node.factor), _mean(node.offset)
            changed[node.name] = replace(node, factor=factor, offset=offset)
        elif isinstance(node, Readout):
            changed[node.name] = replace(node, scale=_mean(node.scale))
    return graph.with_nodes(changed)


def _mean(schedule: Array) -> Array:
    return np.broadcast_to(schedule.mean(0, keepdims=True, dtype=np.float32), schedule.shape)


def build_lif(graph: Graph, metadata: dict[str, object], style: Style = "portable") -> nir.NIRGraph:
    """Return a network with one LIF or CubaLIF node a layer.

    Raises:
        ConfigError: it would not be exact.
    """
    refuse_unwritten(graph)
    graph = with_synapses(graph)
    inexact = inexact_layers(graph)
    if inexact:
        raise ConfigError(
            f"one LIF node cannot express layer {inexact[0].layer!r} exactly",
            why="\n".join(f"{each.layer}: {each.why}" for each in inexact),
            remedy=_remedy(graph),
        )
    return _LifGraph(graph, style).build(metadata)


def _remedy(graph: Graph) -> str:
    unrolls = all(node.reset != "zero" for node in graph.neurons if isinstance(node, Neuron))
    edit = by_origin(graph, recipe=IN_RECIPES, module=IN_MODULES)
    return joined("use --form portable" if unrolls else "", edit, APPROXIMATE)


class _LifGraph:
    """Adds one layer after another.

    Attributes:
        values: for each layer, the names of the NIR nodes whose sum is its value.
        factors: of the weights of an affine layer, see `folded_factors`.
    """

    def __init__(self, graph: Graph, style: Style) -> None:
        self.graph = graph
        self.builder = NirBuilder(style)
        self.values: dict[str, tuple[str, ...]] = {}
        self.factors = self.folded_factors()

    def build(self, metadata: dict[str, object]) -> nir.NIRGraph:
        shape = np.array(self.graph.in_shape)
        self.values[INPUT] = (self.builder.add(INPUT, nir.Input({"input": shape})),)
        for node in self.graph.nodes:
            self.values[node.name] = self.layer(node)
        end = self.graph.nodes[-1]
        images = isinstance(end, Cells)
        shape = self.graph.shapes[end.inputs[0] if images else end.name]
        last = self.builder.one(f"{end.name}_sum", shape, self.values[end.name])
        if images:
            last = self.builder.cells(end.name, shape, last)
        shape = np.array(self.graph.output_shape)
        self.builder.add(OUTPUT, nir.Output({"output": shape}), last)
        return self.builder.finish(metadata)

    def folded_factors(self) -> dict[str, Array]:
        """Return the input factor of the neuron after each affine layer, `[1]` or `[C]`.

        It is folded into the weights of affine layers that only that neuron reads.
        """
        readers: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        found = {}
        for node in self.graph.nodes:
            after = readers.get(node.name, [])
            if isinstance(node, Affine) and len(after) == 1 and isinstance(after[0], Neuron):
                found[node.name] = self.input_factor(after[0])
        return found

    def input_factor(self, node: Neuron) -> Array:
        """Return the factor of a neuron's input, in units of `unit`: gain / (1 - leak), or the gain
        of a CubaLIF or IF."""
        rest = 1 if node.synapse is not None or self.leak(node) == 1 else 1 - self.leak(node)
        return (node.gain[0] / rest / self.unit(node)).astype(np.float32)

    def leak(self, node: Neuron) -> np.float32:
        return node.leak[1, 0] if self.graph.steps > 1 else np.float32(0.5)

    def unit(self, node: Neuron) -> Array:
        """Return 1, or the thresholds of the channels if they differ: a LIF layer has one."""
        return (
            node.threshold[0] if (node.threshold[0] != node.threshold[0, 0]).any() else np.ones(1)
        )

    def layer(self, node: Node) -> tuple[str, ...]:
        graph, builder, name = self.graph, self.builder, node.name
        sources = [self.values[source] for source in node.inputs]
        first = sources[0]
        before, after = graph.shapes[node.inputs[0]], graph.shapes[name]
        match node:
            case Affine():
                group = node.of_step[0]
                factor = self.factors.get(name, np.ones(1, np.float32))
                weight = node.weights[group]
                by_output = factor.reshape(-1, *[1] * (weight.ndim - 1))
                layer = replace(
                    node, weights=(weight * by_output,), biases=(node.biases[group] * factor,)
                )
                return (builder.affine(name, layer, 0, before, *first),)
            case Neuron():
                if node.inputs[0] not in self.factors:
                    factor = self.input_factor(node)
                    first = (builder.scale(f"{name}_gain", factor, after, *first),)
                if node.recurrent is not None:  # no neuron has three in-edges
                    first = (builder.one(f"{name}_input", after, first),)
                builder.add(name, self.neuron(node), *first)
                if node.recurrent is not None:
                    self.recurrence(node)
                return (name,)
            case Filter():
                return (self.filter(node, first),)
            case Readout():
                scale = node.scale[0]
                return (
                    builder.add(name, nir.Affine(node.weight * scale, node.bias * scale), *first),
                )
        return add_layer(builder, graph, node, name, 0, sources)

    def filter(self, node: Filter, sources: tuple[str, ...]) -> str:
        """Add a filter: a LI node for each pole, an I node for a pole of 1.

        A LI node computes v ← v + dt/τ (r x - v): for τ = dt / (1 - pole) and r = 1 / (1 - pole)
        that is v ← pole v + x. An I node with r = 1 / dt computes v ← v + x.
        """
        shape = self.graph.shapes[node.name]
        if (node.gain != 1).any():
            sources = (self.builder.scale(f"{node.name}_gain", node.gain, shape, *sources),)
        name = node.name
        for p, pole in enumerate(node.poles, start=1):
            name = node.name if p == len(node.poles) else f"{node.name}_f{p}"
            full = np.broadcast_to(pole.reshape(-1, *[1] * (len(shape) - 1)), shape)
            one = np.ones(shape, np.float32)
            if (pole == 1).all():
                made: nir.NIRNode = nir.I(r=one / np.float32(DT))
            else:
                rest = (1 - full.astype(np.float64)).astype(np.float32)
                made = nir.LI(tau=np.float32(DT) / rest, r=1 / rest, v_leak=one * 0)
            sources = (self.builder.add(name, made, *sources),)
        return name

    def neuron(self, node: Neuron) -> nir.LIF | nir.IF | nir.CubaLIF:
        ones = np.ones(self.graph.shapes[node.name], np.float32)
        level = node.threshold[0, 0] / self.unit(node)[0]
        rest = 1 - float(self.leak(node))
        at = {"v_threshold": ones * np.float32(level), "v_reset": ones * 0}
        if rest == 0:
            return nir.IF(r=ones / np.float32(DT), **at)
        of_both = {"v_leak": ones * 0, **at}
        tau = ones * np.float32(DT / rest)
        if node.synapse is None:
            return nir.LIF(tau=tau, r=ones, **of_both)
        rest_syn = 1 - float(node.synapse[0])
        return nir.CubaLIF(
            tau_syn=ones * np.float32(DT / rest_syn),
            tau_mem=tau,
            r=ones / np.float32(rest),
            w_in=ones / np.float32(rest_syn),
            **of_both,
        )

    def recurrence(self, node: Neuron) -> None:
        """Add the loop from a neuron through its weights, before any edge to its readers: importers
        take the last node on their way for the output."""
        assert node.recurrent is not None
        factor = self.input_factor(node)
        weight = node.recurrent * factor.reshape(-1, *[1] * (node.recurrent.ndim - 1))
        shape = self.graph.shapes[node.name]
        loop = self.builder.recurrence(f"{node.name}_recurrent", weight, shape, node.name)
        self.builder.edges.append((loop, node.name))
