"""The export graph in numpy: the reference that every exported file is compared with.

All arithmetic is float32, in the order of the equations in `ir`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ...kernels.rules import RESETS
from .cell import cell_steps, sigmoid
from .images import convolve, convolve_transposed, pad, pooled
from .ir import (
    INPUT,
    Accumulate,
    Add,
    Affine,
    Array,
    Attention,
    Cell,
    Cells,
    ChannelScale,
    Concat,
    Conv,
    ConvTranspose,
    Dynamics,
    Filter,
    Flatten,
    Gather,
    Graph,
    GroupNorm,
    LayerNorm,
    Linear,
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
from .noise import drawn, drawn_margin, noise_name
from .norms import normed, softmax


@dataclass(frozen=True)
class Trace:
    """The values of a graph for a batch.

    Attributes:
        values: of every node `[T, B, ...]`, float32.
        distances: v_t - threshold_t of every neuron before the reset, `[T, B, ...]`.
        logits: of each step `[T, B, K]`.
        noise: uniform numbers that were given, by the name of the input, `[T, B, ...]`.
    """

    values: dict[str, Array]
    distances: dict[str, Array]
    logits: Array
    noise: Mapping[str, Array] = field(default_factory=dict)


def run(graph: Graph, code: Array, noise: Mapping[str, Array] | None = None) -> Trace:
    """Return the values of all nodes for a code `[T, B, C, H, W]`.

    A code of fewer steps than the graph has runs the first steps.

    Args:
        graph: the network.
        code: its input.
        noise: for each of `graph.noise` its uniform numbers, `[T, B, ...]`.
    """
    noise = noise or {}
    steps = len(code)
    values: dict[str, Array] = {INPUT: np.ascontiguousarray(code, np.float32)}
    distances: dict[str, Array] = {}
    for node in graph.nodes:
        inputs = [values[name] for name in node.inputs]
        if isinstance(node, Neuron | Cell):
            values[node.name], distances[node.name] = neuron_steps(
                node, inputs[0], noise.get(noise_name(node.name)), inputs[1:]
            )
        elif node.name in graph.time_invariant:
            one = evaluate(node, [value[:1] for value in inputs])
            values[node.name] = np.broadcast_to(one, (steps, *one.shape[1:]))
        else:
            values[node.name] = evaluate(node, inputs)
    return Trace(values, distances, values[graph.output], noise)


def neuron_steps(
    node: Neuron | Cell, x: Array, uniforms: Array | None = None, others: Sequence[Array] = ()
) -> tuple[Array, Array]:
    """Return spikes and distances to the nearest threshold, both of the shape of x.

    Args:
        node: the neuron.
        x: its input, `[T, B, C, ...]`.
        uniforms: numbers in [0, 1) like x, of a neuron that draws its spikes. The distance is then
            that from the membrane at which the draw changes.
        others: further inputs of a cell.
    """
    recurrence = _recurrence(node)
    if isinstance(node, Cell):
        return cell_steps(node, [x, *others], recurrence)
    spikes, distances = np.empty_like(x, order="C"), np.empty_like(x, order="C")
    v = i = None
    fired = np.zeros(x.shape[1:], bool)
    for t in range(len(x)):
        leak, gain, threshold, size = (
            along_channels(part[t], x.ndim - 1)
            for part in (node.leak, node.gain, node.threshold, node.size)
        )
        current = x[t]
        if t and recurrence is not None:
            current = current + recurrence(spikes[t - 1])
        if node.synapse is not None:
            pole = along_channels(node.synapse, x.ndim - 1)
            current = i = current if i is None else pole * i + current
        v = gain * current if v is None else leak * v + gain * current
        distances[t] = v - threshold
        spikes[t] = v > threshold
        if node.kappa is not None:
            assert uniforms is not None, f"{node.name} draws its spikes"
            draw = along_channels(node.kappa[t], x.ndim - 1), uniforms[t]
            spikes[t] = drawn(distances[t], *draw)
            distances[t] = drawn_margin(distances[t], *draw)
        if node.most > 1:
            level = distances[t] / size
            spikes[t] = np.clip(np.ceil(level), 0, node.most)
            distances[t] -= np.clip(np.rint(level), 0, node.most - 1) * size
        if node.once:
            spikes[t][fired] = 0
            distances[t][fired] = np.inf  # no rounding makes it fire again
            fired |= spikes[t] > 0
        v = RESETS[node.reset].formula(v, spikes[t], size)
    return spikes, distances


def _recurrence(node: Neuron | Dynamics) -> Callable[[Array], Array] | None:
    return None if node.recurrent is None else partial(received, node.recurrent)


def received(weight: Array, spikes: Array) -> Array:
    """Return what recurrent weights `[F, F]` or `[C, C, kh, kw]` make of spikes `[..., F]` or
    `[..., C, H, W]`."""
    if weight.ndim == 2:
        return spikes @ weight.T
    images, sides = spikes.reshape(-1, *spikes.shape[-3:]), weight.shape[2:]
    padding = (sides[0] // 2, sides[1] // 2)
    none = np.zeros(len(weight), np.float32)
    return convolve(images, weight, none, (1, 1), padding, (1, 1), 1).reshape(spikes.shape)


def lstm_steps(node: Lstm, x: Array) -> Array:
    """Return h of each step, `[T, B, F]`, for x `[T, B, I]`."""
    h = c = np.zeros((x.shape[1], node.features), np.float32)
    out = np.empty((*x.shape[:2], node.features), np.float32)
    for t in range(len(x)):
        gates = (x[t] @ node.weight.T + node.bias) + h @ node.recurrent.T
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = out[t] = sigmoid(o) * np.tanh(c)
    return out


def filter_steps(node: Filter, x: Array) -> Array:
    """Return f^P of each step, of the shape of x, `[T, B, C, ...]`."""
    axes = x.ndim - 1
    y = along_channels(node.gain, axes) * x
    for p, pole in enumerate(node.poles):
        factor, out = along_channels(pole, axes), np.empty_like(y)
        start = node.start if p == len(node.poles) - 1 else None
        state = None if start is None else along_channels(start, axes)
        for t in range(len(y)):
            state = y[t] if state is None else factor * state + y[t]
            out[t] = state
        y = out
    return y


def substitute(node: Substitution, x: Array) -> Array:
    """Return the solution of all steps, `[T, B, C, ...]` or `[T, B, D]`, for x `[T, B, ...]`."""
    steps, batch, *shape = x.shape
    assert steps == len(node.enter), f"{node.name} needs all steps"
    rows = x.reshape(steps, batch, *node.rows(tuple(shape)))
    z = rows @ node.enter[:, None] + node.offset[:, None, :, None]
    for t in range(1, steps):
        z[t] += z[t - 1] @ node.forward[t]
    for t in range(steps - 2, -1, -1):
        z[t] += z[t + 1] @ node.backward[t]
    z = z[..., list(node.outputs)]
    return z.reshape(x.shape if node.is_elementwise else (steps, batch, len(node.outputs)))


def shift(node: Shift, x: Array) -> Array:
    """Return the values of the step before or of the next one."""
    y = np.zeros_like(x)
    if node.by > 0:
        y[1:] = x[:-1]
    else:
        y[:-1] = x[1:]
    return y


def along_channels(values: Array, axes: int) -> Array:
    """Reshape values `[C]` to `[1, C, 1, ...]`, `axes` axes in all."""
    return values.reshape(1, -1, *[1] * (axes - 2))


def evaluate(node: Node, inputs: list[Array]) -> Array:
    """Return the value of a stateless layer for inputs `[T, B, ...]`."""
    x = inputs[0]
    match node:
        case Affine():
            steps = len(x)
            out: list[Any] = [None] * steps
            for group in sorted(set(node.of_step[:steps])):
                own = [t for t in range(steps) if node.of_step[t] == group]
                y = _affine(node, group, x[own].reshape(-1, *x.shape[2:]))
                for t, value in zip(own, y.reshape(len(own), -1, *y.shape[1:]), strict=True):
                    out[t] = value
            return np.stack(out)
        case Lstm():
            return lstm_steps(node, x)
        case Filter():
            return filter_steps(node, x)
        case Substitution():
            return substitute(node, x)
        case Readout():
            return (x @ node.weight.T + node.bias) * node.scale[: len(x), None, None]
        case ChannelScale():
            shape = (len(x), 1, -1, *[1] * (x.ndim - 3))
            return x * node.factor[: len(x)].reshape(shape) + node.offset[: len(x)].reshape(shape)
        case Pool():
            return pooled(node, x)
        case Pad():
            return pad(node, x)
        case Flatten():
            return x.reshape(*x.shape[:2], -1)
        case Reshape():
            return x.reshape(*x.shape[:2], *node.to)
        case Transpose():
            return x.transpose(0, 1, *(2 + axis for axis in node.axes))
        case Concat():
            return np.concatenate(inputs, 2)
        case Gather():
            return x.take(node.indices, 2 + node.axis)
        case LayerNorm() | GroupNorm():
            return normed(node, x)
        case Softmax():
            return softmax(node, x)
        case Dynamics():
            return cell_steps(node, inputs, _recurrence(node))[0]
        case Relu():
            return np.maximum(x, 0)
        case Tanh():
            return np.float32(node.scale) * np.tanh(x)
        case Accumulate():
            windows_of = len(x) // node.length
            return x[: windows_of * node.length].reshape(-1, node.length, *x.shape[1:]).sum(1)
        case Shift():
            return shift(node, x)
        case Cells():
            return np.concatenate([each.reshape(*each.shape[:3], -1) for each in inputs], -1)
        case Add():
            total = inputs[0]
            for other in inputs[1:]:
                total = total + other
            return total
        case Product():
            first, second = inputs
            return (1 - first if node.inverted else first) * second
        case MatMul():
            return inputs[0] @ inputs[1]
        case Attention():
            return attention(x, node.heads, np.float32(node.scale))
    raise TypeError(f"no arithmetic for {type(node).__name__}")


def _affine(node: Affine, group: int, rows: Array) -> Array:
    weight, bias = node.weights[group], node.biases[group]
    match node:
        case Linear():
            return rows @ weight.T + bias
        case Conv():
            windows = (node.stride, node.padding, node.dilation)
            return convolve(rows, weight, bias, *windows, node.groups)
        case ConvTranspose():
            return convolve_transposed(node, group, rows)
    raise TypeError(f"no arithmetic for {type(node).__name__}")


def attention(x: Array, heads: int, scale: np.float32) -> Array:
    """Return scale Q (Kᵀ V) of each head, `[T, B, 3C, H, W]` to `[T, B, C, H, W]`.

    A head's channels are `[C / heads, H·W]`, that is Qᵀ, Kᵀ and Vᵀ, so (V Kᵀ) Q is the transposed
    result. Sums of products of spikes are whole numbers, exact in any order.
    """
    steps, batch, channels, height, width = x.shape
    shape = (steps, batch, 3, heads, channels // (3 * heads), height * width)
    q, k, v = np.moveaxis(x.reshape(shape), 2, 0)
    out = scale * ((v @ k.swapaxes(-1, -2)) @ q)
    return out.reshape(steps, batch, channels // 3, height, width)
