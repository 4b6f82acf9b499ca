"""Layers without memory and weights in NIR, the same in every form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import ConfigError
from .graph import Add, ChannelScale, Flatten, Graph, Node, Pool, Shape
from .nir_nodes import Sketch

Sources = tuple[str, ...]


def add_layer(
    sketch: Sketch, graph: Graph, node: Node, name: str, t: int, inputs: Sequence[Sources]
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
            together = tuple(source for sources in inputs for source in sources)
            if len(set(together)) == len(together):
                return together  # in-edges are added
            raise ConfigError(
                f"layer {node.name!r} adds a value to itself",
                why="NIR has one edge between two nodes",
            )
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


def _one(sketch: Sketch, sources: Sources, shape: Shape, name: str) -> str:
    """Return a single node for a sum."""
    if len(sources) == 1:
        return sources[0]
    return sketch.scale(f"{name}_sum", np.ones(1, np.float32), shape, *sources)
