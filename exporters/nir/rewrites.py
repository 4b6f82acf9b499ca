"""Networks as NIR can say them: filters as synaptic currents of neurons, series as images."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from torch import Tensor

from ..graph.ir import INPUT, Array, Filter, Graph, Neuron, Node, Reshape
from ..source import ExportSource, NetworkOutput, Samples


def with_synapses(graph: Graph) -> Graph:
    """Return a graph where a filter before a neuron is its synaptic current, as in CubaLIF.

        f_t = α f_{t-1} + gain x_t,   v_t = leak v_{t-1} + gain' f_t

    is the neuron with the synapse α and the gain gain·gain'. A filter with several poles, another
    start than 0, or other readers stays as it is, and so does one before a neuron that is recurrent
    without a synapse: the spikes that it feeds back do not pass the filter. Both must decay, alike
    in all channels.
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
        decays = len(before.poles) == 1 and _decays(before.poles) and _decays(node.leak[1:])
        if plain and at_rest and decays and readers[before.name] == 1:
            fused.add(before.name)
            changed[node.name] = replace(
                node,
                inputs=before.inputs,
                synapse=before.poles[0],
                gain=node.gain * before.gain,
            )
    kept = tuple(changed.get(node.name, node) for node in graph.nodes if node.name not in fused)
    return replace(graph, nodes=kept)


def _decays(poles: Array) -> bool:
    return bool(((poles == poles.flat[:1]) & (poles >= 0) & (poles < 1)).all())


def with_images(
    source: ExportSource, samples: Samples | None
) -> tuple[ExportSource, Samples | None]:
    """Return a network that reads its input in one other shape alone as a network of that shape.

    So a network of series `[C, L]`, whose convolutions are those of images `[C, 1, L]`, has a file
    that reads images: NIR has no node that gives values another shape.
    """
    graph = source.graph
    readers = [node for node in graph.nodes if INPUT in node.inputs]
    first = readers[0]
    if len(readers) != 1 or not isinstance(first, Reshape) or first.name == graph.output:
        return source, samples
    before, after = graph.in_shape, first.to
    nodes = tuple(
        replace(node, inputs=tuple(INPUT if name == first.name else name for name in node.inputs))
        for node in graph.nodes
        if node is not first
    )

    def eager(code: Tensor) -> NetworkOutput:
        return source.eager(code.reshape(*code.shape[:2], *before))

    if samples is not None:
        images = samples.images
        heads = images.shape[: images.ndim - len(before)]
        samples = replace(samples, images=images.reshape(*heads, *after))
    return replace(source, graph=replace(graph, nodes=nodes, in_shape=after), eager=eager), samples
