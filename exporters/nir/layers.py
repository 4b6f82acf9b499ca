"""Layers without memory and weights in NIR, the same in every form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import Add, Attention, ChannelScale, Flatten, Graph, Node, Pool, Product, Shape
from .nodes import NirBuilder

Sources = tuple[str, ...]


def add_layer(
    sketch: NirBuilder, graph: Graph, node: Node, name: str, t: int, inputs: Sequence[Sources]
) -> Sources:
    """Add a layer at a step; return the nodes whose sum is its value.

    Args:
        sketch: what to add to.
        graph: of the layer.
        node: the layer.
        name: what it is called in NIR.
        t: the step.
        inputs: for each of its inputs, the nodes whose sum that is.

    Raises:
        ConfigError: NIR cannot say what it does.
    """
    before, after = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    first = inputs[0]
    match node:
        case Add():
            return _sum(sketch, graph, node, name, inputs)
        case ChannelScale():
            return (sketch.diagonal(name, node.factor[t], node.offset[t], after, *first),)
        case Flatten():
            if len(before) == 1:
                return first
            return (sketch.flatten(name, before, _one(sketch, first, before, name)),)
        case Pool():
            source = _one(sketch, first, before, name)
            if node.kind == "average":
                return (sketch.mean(name, node, source),)
            if graph.is_binary(node.inputs[0]):
                return (sketch.greatest(name, node, after, source),)
            raise ConfigError(
                f"layer {node.name!r} takes the maximum of values that are not spikes",
                why="NIR has no max-pool; over 0 and 1 it is a sum-pool and a threshold, else not",
                remedy="pool behind the neuron, or use average pooling",
            )
    raise ConfigError(f"layer {node.name!r} ({type(node).__name__}) has no form in NIR")


def _sum(
    sketch: NirBuilder, graph: Graph, node: Add, name: str, inputs: Sequence[Sources]
) -> Sources:
    """Return what is to be linked for a sum: in-edges of a node are added.

    A sum that one layer reads is two edges to that. One that several read, or another sum, is a
    scale by 1 with two in-edges: no node gets more, whose order would be left to the reader. A
    value added to itself is twice that value, for there is one edge between two nodes.
    """
    shape = graph.shapes[node.name]
    readers = [each for each in graph.nodes for read in each.inputs if read == node.name]
    linked = len(readers) == 1 and not isinstance(readers[0], Add)
    total, *others = (
        _one(sketch, sources, shape, f"{name}_{i}") for i, sources in enumerate(inputs, start=1)
    )
    for i, term in enumerate(others, start=2):
        last = i == len(inputs)
        at = name if last else f"{name}_first{i}"
        if term == total:
            total = sketch.scale(at, np.full(1, 2, np.float32), shape, term)
        elif last and linked:
            return total, term
        else:
            total = sketch.scale(at, np.ones(1, np.float32), shape, total, term)
    return (total,)


def refuse_products(graph: Graph) -> None:
    """Refuse a graph with a layer that multiplies signals.

    Raises:
        ConfigError: it has one.
    """
    for node in graph.nodes:
        if isinstance(node, Attention):
            what, remedy = "multiplies queries, keys and values", "use --format onnx"
        elif isinstance(node, Product):
            what = "multiplies the spikes of two paths"
            remedy = "use --format onnx, or train with model.connect=add"
        else:
            continue
        raise ConfigError(
            f"layer {node.name!r} {what}, which NIR cannot say",
            why="that is a product of two signals, and NIR has no node for one",
            remedy=remedy,
        )


def _one(sketch: NirBuilder, sources: Sources, shape: Shape, name: str) -> str:
    """Return a single node for a sum."""
    if len(sources) == 1:
        return sources[0]
    return sketch.scale(f"{name}_sum", np.ones(1, np.float32), shape, *sources)
