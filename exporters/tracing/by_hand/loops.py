"""Which layers read which: those of a loop over the steps read each other's values."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from graphlib import TopologicalSorter

from ..folding import Edge, FoldedLayer

Layers = Mapping[str, FoldedLayer]


def used(layers: Layers, output: str, known: Collection[str] = ()) -> list[str]:
    """Return the layers that a layer reads, itself included, in the order of their calls, without
    known ones and what those read."""
    found: set[str] = set(known)
    waiting = [output]
    while waiting:
        name = waiting.pop()
        if name not in found and name in layers:
            found.add(name)
            waiting += [edge.layer for edge in layers[name].edges]
    return [name for name in layers if name in found and name not in known]


def merged(layers: Layers, output: str) -> tuple[dict[str, FoldedLayer], str]:
    """Return the layers where those that compute the same of the same values are one, and the name
    of the one that is the output."""
    while True:
        first: dict[Hashable, str] = {}
        again: dict[str, str] = {}
        for layer in layers.values():
            if layer.neuron is None and not layer.varies:
                same = first.setdefault((layer.key, *layer.operands), layer.name)
                if same != layer.name:
                    again[layer.name] = same
        if not again:
            return dict(layers), output
        for layer in layers.values():
            layer.operands = [
                x._replace(layer=again.get(x.layer, x.layer)) if isinstance(x, Edge) else x
                for x in layer.operands
            ]
        layers = {name: layer for name, layer in layers.items() if name not in again}
        output = again.get(output, output)


def in_order(layers: Layers, output: str) -> list[list[str]]:
    """Return the layers that a layer reads in order; those of a loop together."""
    names = used(layers, output)
    reads = {name: set(used(layers, name)) for name in names}
    loops: dict[str, list[str]] = {}  # of each layer
    for name in names:
        if name not in loops:
            loop = [each for each in names if each in reads[name] and name in reads[each]]
            loops.update((each, loop) for each in loop)
    before: dict[str, set[str]] = {}  # by the first layer of a loop
    for name in names:
        first = loops[name][0]
        found = {edge.layer for edge in layers[name].edges} | {layers[name].membrane_of}
        before.setdefault(first, set()).update(loops[n][0] for n in found & set(names))
        before[first].discard(first)
    return [loops[first] for first in TopologicalSorter(before).static_order()]
