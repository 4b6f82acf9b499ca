"""The layers of the export graph in ONNX.

`all_steps` computes T steps in one pass: values are `[T, N, ...]`, or `[1, N, ...]` if they are
time-invariant. `one_step` computes one step: values are `[N, ...]`, and the step and the states of
the nodes (membranes) are inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..graph.ir import (
    INPUT,
    Accumulate,
    Add,
    Affine,
    Attention,
    Cells,
    ChannelScale,
    Concat,
    Dynamics,
    Filter,
    Flatten,
    Gather,
    Graph,
    GroupNorm,
    LayerNorm,
    Lstm,
    MatMul,
    Neuron,
    Node,
    Pad,
    Pool,
    Product,
    Readout,
    Relu,
    Reshape,
    Shift,
    Softmax,
    Substitution,
    Tanh,
    Transpose,
)
from ..graph.noise import noise_name
from .builder import Builder
from .cells import cell_at_step, cell_over_time
from .filters import (
    filter_at_step,
    filter_over_time,
    lstm_at_step,
    lstm_over_time,
    shift_at_step,
    shift_over_time,
    substitution_over_time,
)
from .joins import attention, cells, concatenated, joined
from .neurons import neuron_at_step, neuron_over_time
from .stateless import (
    affine_at_step,
    affine_over_time,
    gather,
    group_norm,
    layer_norm,
    pad,
    pool,
    softmax,
)
from .states import states_of_node


def all_steps(b: Builder, graph: Graph, code: str) -> str:
    """Add all layers over all steps, and return the logits `[T, N, K]`."""
    values = {INPUT: code}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        steps = 1 if node.name in graph.time_invariant else graph.steps_of[node.name]
        values[node.name] = _over_time(b, graph, node, inputs, steps)
        b.state_shape(values[node.name], [steps, *graph.shapes[node.name]])
    return values[graph.output]


def one_step(
    b: Builder,
    graph: Graph,
    x: str,
    step: str,
    states: dict[str, str],
    noise: Callable[[str], str] = noise_name,
) -> tuple[str, dict[str, str]]:
    """Add all layers for one step.

    Args:
        b: the builder.
        graph: the network.
        x: one step of the code `[N, ...]`.
        step: its number, a scalar int64.
        states: before the step, by the name of the state.
        noise: from a layer to the name of its uniform numbers `[N, ...]`.

    Returns:
        The logits `[N, K]` and the states after the step.
    """
    values, after = {INPUT: x}, {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        names = [state.name for state in states_of_node(graph, node)]
        if names or isinstance(node, Dynamics):
            before = [states[name] for name in names]
            found = _with_states(b, graph, node, inputs, before, step, noise)
            values[node.name] = found[0]
            after |= dict(zip(names, found[1:], strict=True))
        else:
            values[node.name] = _at_step(b, graph, node, inputs, step)
    return values[graph.output], after


def _with_states(
    b: Builder,
    graph: Graph,
    node: Node,
    inputs: list[str],
    before: list[str],
    step: str,
    noise: Callable[[str], str],
) -> list[str]:
    """Add one step of a layer with states; return its value, then the states after the step."""
    x = inputs[0]
    if isinstance(node, Lstm):
        return lstm_at_step(b, node, x, before)
    if isinstance(node, Filter):
        return filter_at_step(b, node, x, before, len(graph.shapes[node.name]))
    if isinstance(node, Dynamics):
        return cell_at_step(b, node, inputs, before, step)
    if isinstance(node, Shift):
        return shift_at_step(b, node, x, before)
    assert isinstance(node, Neuron)
    drawn = None if node.kappa is None else noise(node.name)
    return neuron_at_step(b, node, x, before, step, len(graph.shapes[node.name]), drawn)


def _over_time(b: Builder, graph: Graph, node: Node, inputs: list[str], steps: int) -> str:
    x, name = inputs[0], node.name
    shape, before = graph.shapes[name], graph.shapes[node.inputs[0]]
    repeated = node.inputs[0] in graph.time_invariant
    match node:
        case Neuron():
            return neuron_over_time(b, node, x, len(shape), steps, repeated)
        case Dynamics():
            same = [each in graph.time_invariant for each in node.inputs]
            return cell_over_time(b, node, inputs, shape, steps, same)
        case Lstm():
            return lstm_over_time(b, node, x, steps, repeated)
        case Filter():
            return filter_over_time(b, node, x, len(shape), steps, repeated)
        case Substitution():
            return substitution_over_time(b, node, x, before, shape, repeated)
        case Affine():
            if repeated and steps > 1:
                times = b.integers(steps, *[1] * (len(before) + 1))
                x = b.op("Tile", [x, times], f"{name}/repeated")
            return affine_over_time(b, node, x, before, shape, steps)
        case Pool():
            return pool(b, node, x, before, shape, (steps, -1))
        case Pad():
            return pad(b, node, x, shape, (steps, -1))
        case LayerNorm():
            return layer_norm(b, node, x, shape)
        case GroupNorm():
            return group_norm(b, node, x, shape, (steps, -1))
        case Concat():
            same = [each in graph.time_invariant for each in node.inputs]
            return concatenated(b, node, inputs, len(shape), steps, same)
        case Transpose():
            return b.op("Transpose", [x], name, perm=[0, 1, *(2 + axis for axis in node.axes)])
        case Flatten() | Reshape():
            return b.reshape(x, (steps, -1, *shape), name)
        case Gather():
            return gather(b, node, x, len(before))
        case Softmax():
            return softmax(b, node, x, len(shape))
        case Relu():
            return b.op("Relu", [x], name)
        case Tanh():
            scale = b.constant(f"{name}.scale", np.float32(node.scale))
            return b.op("Mul", [b.op("Tanh", [x], f"{name}/tanh"), scale], name)
        case Accumulate():
            if repeated:
                times = b.integers(node.length * steps, *[1] * (len(shape) + 1))
                x = b.op("Tile", [x, times], f"{name}/repeated")
            split = b.reshape(x, (steps, node.length, -1, *shape), f"{name}/windows")
            return b.op("ReduceSum", [split, b.integers(1)], name, keepdims=0)
        case Shift():
            return shift_over_time(b, node, x, len(shape), steps, repeated)
        case Cells():
            images = [graph.shapes[name] for name in node.inputs]
            return cells(b, node, inputs, images, (steps,))
        case Add() | Product():
            return joined(b, node, inputs)
        case MatMul():
            return b.op("MatMul", inputs, name)
        case Attention():
            return attention(b, node, x, before, (steps, -1, *shape))
        case ChannelScale():
            axes = (steps, 1, -1, *[1] * (len(shape) - 1))
            factor = b.constant(f"{name}.factor", node.factor[:steps].reshape(axes))
            offset = b.constant(f"{name}.offset", node.offset[:steps].reshape(axes))
            return b.op("Add", [b.op("Mul", [x, factor], f"{name}/scaled"), offset], name)
        case Readout():
            if repeated and steps > 1:
                x = b.op("Tile", [x, b.integers(steps, 1, 1)], f"{name}/repeated")
            flat = b.reshape(x, (-1, *before), f"{name}/rows")
            weight = b.weight(f"{name}.weight", node.weight)
            bias = b.constant(f"{name}.bias", node.bias)
            rows = b.op("Gemm", [flat, weight, bias], f"{name}/logits", transB=1)
            if (node.scale == 1).all():
                return b.reshape(rows, (steps, -1, *shape), name)
            logits = b.reshape(rows, (steps, -1, *shape), f"{name}/by_step")
            scale = b.constant(f"{name}.scale", node.scale[:steps].reshape(-1, 1, 1))
            return b.op("Mul", [logits, scale], name)
    raise TypeError(f"no ONNX for {type(node).__name__}")


def _at_step(b: Builder, graph: Graph, node: Node, inputs: list[str], step: str) -> str:
    """Add a stateless layer for one step `[N, ...]`."""
    x, name = inputs[0], node.name
    shape, before = graph.shapes[name], graph.shapes[node.inputs[0]]
    match node:
        case Affine():
            return affine_at_step(b, node, x, step)
        case Pool():
            return pool(b, node, x, before, shape, (-1,))
        case Pad():
            return pad(b, node, x, shape, (-1,))
        case LayerNorm():
            return layer_norm(b, node, x, shape)
        case GroupNorm():
            return group_norm(b, node, x, shape, (-1,))
        case Concat():
            return b.op("Concat", inputs, name, axis=1)
        case Transpose():
            return b.op("Transpose", [x], name, perm=[0, *(1 + axis for axis in node.axes)])
        case Flatten() | Reshape():
            return b.reshape(x, (-1, *shape), name)
        case Gather():
            return gather(b, node, x, len(before))
        case Softmax():
            return softmax(b, node, x, len(shape))
        case Relu():
            return b.op("Relu", [x], name)
        case Tanh():
            scale = b.constant(f"{name}.scale", np.float32(node.scale))
            return b.op("Mul", [b.op("Tanh", [x], f"{name}/tanh"), scale], name)
        case Cells():
            images = [graph.shapes[name] for name in node.inputs]
            return cells(b, node, inputs, images, ())
        case Add() | Product():
            return joined(b, node, inputs)
        case MatMul():
            return b.op("MatMul", inputs, name)
        case Attention():
            return attention(b, node, x, before, (-1, *shape))
        case ChannelScale():
            axes = (len(node.factor), -1, *[1] * (len(shape) - 1))
            parts = []
            for field, values in (("factor", node.factor), ("offset", node.offset)):
                table = b.constant(f"{name}.{field}", values.reshape(axes))
                parts.append(b.op("Gather", [table, step], f"{name}/{field}", axis=0))
            return b.op("Add", [b.op("Mul", [x, parts[0]], f"{name}/scaled"), parts[1]], name)
        case Readout():
            weight = b.weight(f"{name}.weight", node.weight)
            bias = b.constant(f"{name}.bias", node.bias)
            if (node.scale == 1).all():
                return b.op("Gemm", [x, weight, bias], name, transB=1)
            logits = b.op("Gemm", [x, weight, bias], f"{name}/logits", transB=1)
            scale = b.constant(f"{name}.scale", node.scale)
            scale = b.op("Gather", [scale, step], f"{name}/scale", axis=0)
            return b.op("Mul", [logits, scale], name)
    raise TypeError(f"no ONNX for {type(node).__name__}")
