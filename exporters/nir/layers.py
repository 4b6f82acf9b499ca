"""Stateless layers without weights in NIR, the same in every form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import (
    Accumulate,
    Add,
    Attention,
    Cell,
    Cells,
    ChannelScale,
    Concat,
    ConvTranspose,
    Dynamics,
    Flatten,
    Gather,
    Graph,
    GroupNorm,
    LayerNorm,
    Lstm,
    MatMul,
    Node,
    Pad,
    Pool,
    Product,
    Relu,
    Reshape,
    Softmax,
    Substitution,
    Transpose,
)
from ..graph.noise import PREFIX
from ..remedies import by_origin, joined
from .nodes import NirBuilder

Sources = tuple[str, ...]
# What a layer does, and why NIR has no node for it.
WITHOUT_NODE: dict[type[Node], tuple[str, str]] = {
    Reshape: ("gives values another shape", "its Flatten merges axes, and no node splits them"),
    Transpose: ("changes the order of axes", "it has no node that does"),
    Gather: ("picks or repeats values along an axis", "it has no node that does"),
    Softmax: ("is a softmax", "it has no exponential and no division"),
    Pad: ("pads an image with zeros", "its convolutions and pools alone pad, alike on both sides"),
    LayerNorm: ("divides by the deviation of a sample", "it has no norm and no division"),
    GroupNorm: ("divides by the deviation of a sample", "it has no norm and no division"),
    ConvTranspose: ("is a transposed convolution", "it has convolutions alone"),
}


def add_layer(
    builder: NirBuilder, graph: Graph, node: Node, name: str, t: int, inputs: Sequence[Sources]
) -> Sources:
    """Add a layer at a step; return the NIR nodes whose sum is its value.

    Args:
        builder: of the NIR graph.
        graph: of the layer.
        node: the layer.
        name: of its NIR node.
        t: the step.
        inputs: for each of its inputs, the NIR nodes whose sum it is.

    Raises:
        ConfigError: NIR has no node for the layer.
    """
    before, after = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    first = inputs[0]
    match node:
        case Add():
            return _sum(builder, graph, node, name, inputs)
        case Concat():
            return _placed(builder, graph, node, name, inputs)
        case Cells():
            return first  # the output of the file puts them side by side
        case ChannelScale():
            return (builder.diagonal(name, node.factor[t], node.offset[t], after, *first),)
        case Flatten():
            if len(before) == 1:
                return first
            return (builder.flatten(name, before, builder.one(f"{name}_sum", before, first)),)
        case Pool():
            source = builder.one(f"{name}_sum", before, first)
            if node.kind == "average":
                return (builder.average_pool(name, node, source),)
            if graph.is_binary(node.inputs[0]):
                return (builder.max_pool(name, node, after, source),)
            raise ConfigError(
                f"layer {node.name!r} takes the maximum of values that are not spikes",
                why="NIR has no max-pool; only over 0 and 1 is it a sum-pool and a threshold",
                remedy="pool after the neuron, or use average pooling",
            )
    raise ConfigError(f"layer {node.name!r} ({type(node).__name__}) has no form in NIR")


def _placed(
    builder: NirBuilder, graph: Graph, node: Concat, name: str, inputs: Sequence[Sources]
) -> Sources:
    """Return the NIR nodes whose sum is the value of a Concat: each input among zeros.

    A sum of one value and zeros is exact in any order.
    """
    channels = graph.shapes[node.name][0]
    placed, begin = [], 0
    for i, (source, terms) in enumerate(zip(node.inputs, inputs, strict=True), start=1):
        number = graph.shapes[source][0]
        place = np.eye(channels, dtype=np.float32)[:, begin : begin + number]
        placed.append(builder.placed(f"{name}_{i}", place, graph.shapes[source], *terms))
        begin += number
    return tuple(placed)


def _sum(
    builder: NirBuilder, graph: Graph, node: Add, name: str, inputs: Sequence[Sources]
) -> Sources:
    """Return the NIR nodes whose sum is the value of an Add: a node sums its in-edges.

    A sum that a single layer reads becomes two edges to that layer. A sum that several layers or
    another sum read becomes a scale by 1 with two in-edges: with more in-edges, importers would
    choose the order of the sum. A value added to itself becomes a scale by 2, since two nodes have
    at most one edge.
    """
    shape = graph.shapes[node.name]
    readers = [each for each in graph.nodes for read in each.inputs if read == node.name]
    linked = len(readers) == 1 and not isinstance(readers[0], Add)
    total, *others = (
        builder.one(f"{name}_{i}_sum", shape, sources) for i, sources in enumerate(inputs, start=1)
    )
    for i, term in enumerate(others, start=2):
        last = i == len(inputs)
        at = name if last else f"{name}_first{i}"
        if term == total:
            total = builder.scale(at, np.full(1, 2, np.float32), shape, term)
        elif last and linked:
            return total, term
        else:
            total = builder.scale(at, np.ones(1, np.float32), shape, total, term)
    return (total,)


def refuse_unwritten(graph: Graph) -> None:
    """Refuse a graph with a layer that multiplies signals, with equations of a neuron's own, or
    that draws.

    Raises:
        ConfigError: it has such a layer.
    """
    for name in graph.noise:
        raise ConfigError(
            f"layer {name.removeprefix(PREFIX)!r} draws at random, which NIR cannot express",
            why="it has no node that draws or that takes random numbers",
            remedy="use --noise off: the same network without noise; or --format onnx",
        )
    for node in graph.nodes:
        if isinstance(node, Substitution):
            raise ConfigError(
                f"layer {node.name!r} looks ahead, which NIR cannot express",
                why="least squares solve for all steps at once; a LI node, the membrane of the "
                "steps so far, computes something else",
                remedy="use --format onnx",
            )
    for node in graph.nodes:
        before = graph.shapes[node.inputs[0]]
        if isinstance(node, Cells) and len(node.inputs) > 1:
            raise ConfigError(
                f"layer {node.name!r} joins the cells of {len(node.inputs)} grids, which NIR "
                "cannot express",
                why="it has no node that puts values side by side",
                remedy="use --format onnx, or train with model.scales=1",
            )
        if type(node) in WITHOUT_NODE:
            what, why = WITHOUT_NODE[type(node)]
            raise ConfigError(
                f"layer {node.name!r} {what}, which NIR cannot express",
                why=why,
                remedy="use --format onnx",
            )
        if isinstance(node, Pool) and not node.is_plain(before):
            raise ConfigError(
                f"layer {node.name!r} pools windows of several sizes, which NIR cannot express",
                why="its pools have whole windows, divide by their size, and have no dilation",
                remedy="use --format onnx, or pool without ceil_mode, dilation and "
                "divisor_override, and with count_include_pad",
            )
        if isinstance(node, Dynamics) and not node.states and not isinstance(node, Cell):
            raise ConfigError(
                f"layer {node.name!r} is a function of values, which NIR cannot express",
                why="its nodes are linear, or neurons",
                remedy="use --format onnx",
            )
        if isinstance(node, Dynamics) and not isinstance(node, Cell):
            raise ConfigError(
                f"layer {node.name!r} has the membrane of a neuron with a reset as its value, "
                "which NIR cannot express",
                why="the values of its spiking neurons are spikes; LI, whose value is its "
                "membrane, has no reset",
                remedy="use --format onnx, or train with reset_mechanism='none' and without "
                "recurrence",
            )
        if isinstance(node, Cell):
            raise ConfigError(
                f"layer {node.name!r} has a neuron with equations of its own, which NIR cannot "
                "express",
                why="its neurons are leaky integrate-and-fire, with constant thresholds and no "
                "windows of firing, and reset in the step of a spike; unrolled, it has no node for "
                "a product of two signals, such as of a membrane and the spikes of the step before",
                remedy=joined("use --format onnx", by_origin(graph, recipe="", module="")),
            )
        if isinstance(node, Relu):
            in_parts = any(isinstance(each, Accumulate) for each in graph.nodes)
            raise ConfigError(
                f"layer {node.name!r} is a ReLU of values, which asnn does not write to NIR",
                why="the importers of NIR run networks of spiking neurons",
                remedy="use --format onnx, --form sequence or parts; or --form backbone, which has "
                "the spiking part"
                if in_parts
                else joined(
                    "use --format onnx",
                    by_origin(graph, recipe="train with readout.hidden=[]", module=""),
                ),
            )
        if isinstance(node, Lstm):
            what, remedy = "multiplies its gates and its cell", "use --format onnx"
        elif isinstance(node, Attention):
            what, remedy = "multiplies queries, keys and values", "use --format onnx"
        elif isinstance(node, MatMul):
            what, remedy = "multiplies the matrices of two paths", "use --format onnx"
        elif isinstance(node, Product):
            what = "multiplies the spikes of two paths"
            added = by_origin(
                graph, recipe="train with model.connect=add", module="add them instead"
            )
            remedy = joined("use --format onnx", added)
        else:
            continue
        raise ConfigError(
            f"layer {node.name!r} {what}, which NIR cannot express",
            why="that is a product of two signals, and NIR has no node for one",
            remedy=remedy,
        )
