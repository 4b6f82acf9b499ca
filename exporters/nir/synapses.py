"""Synaptic currents of neurons: a filter that a neuron alone reads becomes its `synapse`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..graph.ir import Filter, Graph, Neuron, Node


def with_synapses(graph: Graph) -> Graph:
    """Return a graph where a filter before a neuron is its synaptic current, as in CubaLIF.

        f_t = α f_{t-1} + gain x_t,   v_t = leak v_{t-1} + gain' f_t

    is the neuron with the synapse α and the gain gain·gain'. A filter with several poles, another
    start than 0, or other readers stays as it is, and so does one before a neuron that is recurrent
    without a synapse: the spikes that it feeds back do not pass the filter.
    """
    nodes = {node.name: node for node in graph.nodes}
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    changed: dict[str, Node] = {}
    fused = set()
    for node in graph.nodes:
        before = nodes.get(node.inputs[0])
        if not isinstance(node, Neuron) or not isinstance(before, Filter):
            continue
        plain = node.recurrent is None and node.synapse is None
        at_rest = before.start is None or not before.start.any()
        if plain and at_rest and len(before.poles) == 1 and readers[before.name] == 1:
            fused.add(before.name)
            changed[node.name] = replace(
                node,
                inputs=before.inputs,
                synapse=before.poles[0],
                gain=node.gain * before.gain,
            )
    kept = tuple(changed.get(node.name, node) for node in graph.nodes if node.name not in fused)
    return replace(graph, nodes=kept)
