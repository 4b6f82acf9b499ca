"""Amplitudes of neurons, folded into the weights that read them, so that spikes are whole numbers.

A neuron that sends V k is lowered as one that sends k, followed by a scale by V > 0. Pools,
reshapes, filters and sums of windows commute with it; weights, gains and other scales absorb it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import ir as g

SUFFIX = "_amplitude"  # of the scale after a neuron


def fold_amplitudes(graph: g.Graph) -> g.Graph:
    """Return the graph without scales of amplitude, where a layer can absorb them.

    Sums, products and attention cannot: there the scale stays.
    """
    factors: dict[str, g.Array] = {}  # of values that are still to be scaled
    renamed: dict[str, str] = {}
    nodes: list[g.Node] = []
    for node in graph.nodes:
        source = renamed.get(node.inputs[0], node.inputs[0])
        if isinstance(node, g.ChannelScale) and node.name == f"{source}{SUFFIX}":
            factors[source], renamed[node.name] = node.factor[0], source
            continue
        inputs = tuple(renamed.get(name, name) for name in node.inputs)
        node = replace(node, inputs=inputs)
        if not any(name in factors for name in inputs):
            nodes.append(node)
            continue
        factor = factors.get(inputs[0])
        passes = (
            isinstance(node, g.Pool | g.Pad | g.Flatten | g.Filter | g.Accumulate)
            and node.name != graph.output
        )
        if factor is not None and passes:
            factors[node.name] = _through(graph, node, factor)
            nodes.append(_with_start(node, factor))
            continue
        absorbed = None if factor is None else _absorbed(node, factor)
        if absorbed is not None:
            nodes.append(absorbed)
            continue
        for name in dict.fromkeys(inputs):
            if name in factors:
                nodes.append(_scale(graph.steps, name, factors.pop(name)))
                renamed |= dict.fromkeys((name, f"{name}{SUFFIX}"), f"{name}{SUFFIX}")
        nodes.append(replace(node, inputs=tuple(renamed.get(name, name) for name in inputs)))
    last = nodes[-1].name
    if last in factors:  # a neuron at the end
        nodes.append(_scale(graph.steps, last, factors[last]))
    return replace(graph, nodes=tuple(nodes))


def _scale(steps: int, name: str, factor: g.Array) -> g.ChannelScale:
    factors = np.repeat(factor[None], steps, axis=0)
    return g.ChannelScale(
        name=f"{name}{SUFFIX}", inputs=(name,), factor=factors, offset=np.zeros_like(factors)
    )


def _through(graph: g.Graph, node: g.Node, factor: g.Array) -> g.Array:
    """Return the factor behind a layer that commutes with it."""
    if not isinstance(node, g.Flatten) or len(factor) == 1:
        return factor
    features, channels = graph.shapes[node.name][0], len(factor)
    return np.repeat(factor, features // channels)


def _with_start(node: g.Node, factor: g.Array) -> g.Node:
    if isinstance(node, g.Filter) and node.start is not None:
        return replace(node, start=node.start / factor)
    return node


def _absorbed(node: g.Node, factor: g.Array) -> g.Node | None:
    """Return a layer that reads the unscaled value; None if it cannot absorb the factor."""
    match node:
        case g.Conv() | g.ConvTranspose() | g.Linear():
            return replace(node, weights=tuple(_by_input(node, w, factor) for w in node.weights))
        case g.Readout():
            return replace(node, weight=node.weight * factor)
        case g.Lstm():
            return replace(node, weight=node.weight * factor)
        case g.ChannelScale():
            return replace(node, factor=node.factor * factor, offset=_wide(node.offset, factor))
        case g.Neuron() if node.recurrent is None:  # its gain is of recurrent spikes too
            return replace(node, gain=node.gain * factor, **_wide_parameters(node, factor))
    return None


def _by_input(node: g.Affine, weight: g.Array, factor: g.Array) -> g.Array:
    """Return a weight `[out, in / groups, ...]` times a factor of each input channel."""
    if len(factor) == 1:
        return weight * factor[0]
    if isinstance(node, g.Linear):
        return weight * factor
    assert isinstance(node, g.Conv | g.ConvTranspose)
    by_group = np.repeat(factor.reshape(node.groups, -1), len(weight) // node.groups, axis=0)
    return weight * by_group[:, :, None, None]


def _wide(values: g.Array, factor: g.Array) -> g.Array:
    """Return values `[T, 1]` or `[T, C]` in the width of their product with the factor."""
    return np.ascontiguousarray(np.broadcast_to(values, (values * factor).shape))


def _wide_parameters(node: g.Neuron, factor: g.Array) -> dict[str, g.Array]:
    fields = {field: getattr(node, field) for field in ("leak", "threshold", "size", "kappa")}
    return {field: _wide(x, factor) for field, x in fields.items() if x is not None}
