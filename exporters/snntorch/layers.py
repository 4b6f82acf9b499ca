"""Layers of torch as nodes of the graph, for one step; `over_steps` repeats them for T steps.

A batch norm becomes a scale of channels in float64. `fold_norms` folds it into the affine layer
before it, W' = W w / √(v + eps), if nothing else reads that layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...core.errors import ConfigError
from ..graph import ir as g

LARGEST_ROW = 4096  # values of an output


def fold_norms(nodes: Sequence[g.Node]) -> list[g.Node]:
    """Fold every norm into the affine layer before it, if no other layer reads that one."""
    readers: dict[str, int] = {}
    for node in nodes:
        for source in node.inputs:
            readers[source] = readers.get(source, 0) + 1
    kept: dict[str, g.Node] = {}
    renamed: dict[str, str] = {}
    for node in nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        before = kept.get(node.inputs[0])
        if (
            isinstance(node, g.ChannelScale)
            and len(node.factor) == 1
            and isinstance(before, g.Affine)
            and len(before.weights) == 1
            and readers[before.name] == 1
        ):
            factor, offset = node.factor[0], node.offset[0]
            weight = before.weights[0] * factor.reshape(-1, *[1] * (before.weights[0].ndim - 1))
            bias = before.biases[0] * factor + offset
            kept[before.name] = replace(before, weights=(_f32(weight),), biases=(_f32(bias),))
            renamed[node.name] = before.name
            readers[before.name] = readers.get(node.name, 0)
        else:
            kept[node.name] = node
    return list(kept.values())


def flattened(nodes: list[g.Node], shape: g.Shape) -> g.Flatten:
    """Return a node behind the last one with its value, an image, as one row.

    Raises:
        ConfigError: it has too many values.
    """
    if prod(shape) > LARGEST_ROW:
        raise ConfigError(
            f"the output of the network has the shape {list(shape)}",
            why=f"an output has at most {LARGEST_ROW:,} values",
            remedy="return fewer of them, such as means of an average pool",
        )
    name = f"{nodes[-1].name}_flat"
    while any(node.name == name for node in nodes):
        name += "_"
    return g.Flatten(name=name, inputs=(nodes[-1].name,))


def end_with_readout(nodes: list[g.Node], output: str, shape: g.Shape) -> list[g.Node]:
    """Return the nodes with a readout at the end: the last linear layer, or an added identity."""
    last = nodes[-1]
    if isinstance(last, g.Readout):  # of asnn
        return nodes
    if isinstance(last, g.Linear) and last.name == output and len(last.weights) == 1:
        weight, bias = last.weights[0], last.biases[0]
        nodes, source, name = nodes[:-1], last.inputs, last.name
    else:
        weight, bias = np.eye(shape[0], dtype=np.float32), np.zeros(shape[0], np.float32)
        source, name = (output,), "readout"
        while any(node.name == name for node in nodes):
            name += "_"
    scale = np.ones(1, np.float32)
    return [*nodes, g.Readout(name=name, inputs=source, weight=weight, bias=bias, scale=scale)]


def over_steps(node: g.Node, steps: int) -> g.Node:
    """Return a node for T steps, in float32: one of a single step is repeated, one of more cut.

    Raises:
        ConfigError: it has parameters for some of the steps only.
    """
    if isinstance(node, g.Affine):
        of_step = _for_steps(node, np.array(node.of_step), steps)
        return replace(node, of_step=tuple(of_step.tolist()))
    if isinstance(node, g.Dynamics):
        tables = tuple(_f32(_for_steps(node, table, steps)) for table in node.schedules)
        return replace(node, schedules=tables)
    names = {
        g.ChannelScale: ("factor", "offset"),
        g.Neuron: ("leak", "gain", "threshold", "size"),
        g.Readout: ("scale",),
    }.get(type(node), ())
    return replace(
        node, **{name: _f32(_for_steps(node, getattr(node, name), steps)) for name in names}
    )


def _for_steps(node: g.Node, rows: g.Array, steps: int) -> Any:
    if len(rows) == 1:
        rows = np.repeat(rows, steps, axis=0)
    if len(rows) < steps:
        raise ConfigError(
            f"layer {node.name!r} has parameters for {len(rows)} steps, the network makes {steps}",
            remedy=f"build the layer with steps={steps}, or give --steps {len(rows)}",
        )
    return rows[:steps]


def _f32(values: g.Array) -> g.Array:
    return np.asarray(values, np.float32)
