"""Layers of values with states in ONNX: filters over time, LSTM, values of other steps, and linear
systems of all steps. Each is unrolled over all steps, or one step with its states.
"""

from __future__ import annotations

import numpy as np

from ..graph.ir import Filter, Lstm, Shape, Shift, Substitution
from .builder import Builder, by_channel


def filter_over_time(
    b: Builder, node: Filter, x: str, rank: int, steps: int, repeated: bool
) -> str:
    """Unroll a filter over all steps, and return its value, `[T, N, ...]`.

    Args:
        b: the builder.
        node: the filter.
        x: its input, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        rank: axes of a sample.
        steps: T.
        repeated: whether the input is the same at every step.
    """
    name = node.name
    parts = [x] * steps
    if not repeated and steps > 1:
        names = [f"{name}/{t}/input" for t in range(steps)]
        parts = b.ops("Split", [x, b.integers(*[1] * steps)], names, axis=0)
    before: list[str | None] = [None] * len(node.poles)
    if node.start is not None:
        before[-1] = b.constant(f"{name}.start", by_channel(node.start, rank))
    values = []
    for t, part in enumerate(parts):
        out = f"{name}/{t}/value" if steps > 1 else name
        states = _filter(b, node, part, before, rank, f"{name}/{t}", out)
        values.append(states[-1])
        before = [*states]
    return values[0] if steps == 1 else b.op("Concat", values, name, axis=0)


def filter_at_step(b: Builder, node: Filter, x: str, before: list[str], rank: int) -> list[str]:
    """Add one step of a filter; return its value, then its states after the step."""
    states = _filter(b, node, x, [*before], rank, node.name, node.name)
    return [states[-1], *states]


def substitution_over_time(
    b: Builder, node: Substitution, x: str, before: Shape, shape: Shape, repeated: bool
) -> str:
    """Unroll both passes over all steps, and return the value, `[T, N, ...]`.

    Args:
        b: the builder.
        node: the system.
        x: its input, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        before: shape of a sample of the input.
        shape: of the value.
        repeated: whether the input is the same at every step.
    """
    name, steps = node.name, len(node.enter)
    seen = 1 if repeated else steps
    rows = b.reshape(x, (seen, -1, *node.rows(before)), f"{name}/rows")
    b.state_shape(rows, [seen, *node.rows(before)])
    enter = b.constant(f"{name}.enter", node.enter[:, None])
    value = b.op("MatMul", [rows, enter], f"{name}/entered")
    if node.offset.any():
        offset = b.constant(f"{name}.offset", node.offset[:, None, :, None])
        value = b.op("Add", [value, offset], f"{name}/right")
    parts = [value]
    if steps > 1:
        names = [f"{name}/{t}/right" for t in range(steps)]
        parts = b.ops("Split", [value, b.integers(*[1] * steps)], names, axis=0)
    for key, order in (("forward", range(1, steps)), ("backward", range(steps - 2, -1, -1))):
        for t in order:
            factor = b.constant(f"{name}.{key}{t}", getattr(node, key)[t])
            neighbour = parts[t - 1 if key == "forward" else t + 1]
            kept = b.op("MatMul", [neighbour, factor], f"{name}/{t}/{key}_kept")
            parts[t] = b.op("Add", [parts[t], kept], f"{name}/{t}/{key}")
    value = parts[0] if steps == 1 else b.op("Concat", parts, f"{name}/solution", axis=0)
    outputs = b.constant(f"{name}.outputs", node.outputs, np.int64)
    value = b.op("Gather", [value, outputs], f"{name}/outputs", axis=-1)
    return b.reshape(value, (steps, -1, *shape), name)


def _filter(
    b: Builder, node: Filter, x: str, before: list[str | None], rank: int, at: str, name: str
) -> list[str]:
    """Add f^1 to f^P after a step; the last is called `name`."""
    y = x
    if not (node.gain == 1).all():
        gain = b.constant(f"{node.name}.gain", by_channel(node.gain, rank))
        y = b.op("Mul", [x, gain], f"{at}/scaled")
    states = []
    for p, (pole, state) in enumerate(zip(node.poles, before, strict=True), start=1):
        out = name if p == len(before) else f"{at}/f{p}"
        if state is None:
            y = b.op("Identity", [y], out)
        else:
            factor = b.constant(f"{node.name}.pole{p}", by_channel(pole, rank))
            kept = b.op("Mul", [state, factor], f"{at}/kept{p}")
            y = b.op("Add", [kept, y], out)
        states.append(y)
    return states


def shift_over_time(b: Builder, node: Shift, x: str, rank: int, steps: int, repeated: bool) -> str:
    """Add the values of the step before or of the next one, `[T, N, ...]`, 0 outside.

    Args:
        b: the builder.
        node: the shift.
        x: its input, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        rank: axes of a sample.
        steps: T.
        repeated: whether the input is the same at every step.
    """
    name, axis = node.name, b.integers(0)
    if steps == 1:
        return b.op("Sub", [x, x], name)
    if repeated:
        one = x
        kept = b.op("Tile", [x, b.integers(steps - 1, *[1] * (rank + 1))], f"{name}/kept")
    else:
        one = b.op("Slice", [x, b.integers(0), b.integers(1), axis], f"{name}/first")
        begin = 0 if node.by > 0 else 1
        ends = b.integers(begin), b.integers(begin + steps - 1)
        kept = b.op("Slice", [x, *ends, axis], f"{name}/kept")
    zeros = b.op("Sub", [one, one], f"{name}/zeros")
    return b.op("Concat", [zeros, kept] if node.by > 0 else [kept, zeros], name, axis=0)


def shift_at_step(b: Builder, node: Shift, x: str, before: list[str]) -> list[str]:
    """Add the value of the step before, which is the state; return it, then the next state."""
    return [b.op("Identity", before, node.name), x]


def lstm_over_time(b: Builder, node: Lstm, x: str, steps: int, repeated: bool) -> str:
    """Unroll an LSTM over all steps, and return h of each, `[T, N, F]`.

    It is written in the primitive operators of the equations of `Lstm`, so that both forms compute
    the same floats; ONNX's LSTM takes all steps at once.

    Args:
        b: the builder.
        node: the layer.
        x: its input, `[T, N, I]`, or `[1, N, I]` if `repeated`.
        steps: T.
        repeated: whether the input is the same at every step.
    """
    name = node.name
    rows = b.reshape(x, (-1, node.weight.shape[1]), f"{name}/rows")
    gates = _input_gates(b, node, rows, f"{name}/input_gates")
    parts = [gates] * steps
    if steps > 1 and not repeated:
        shape = (steps, -1, 4 * node.features)
        gates = b.reshape(gates, shape, f"{name}/by_step")
        names = [f"{name}/{t}/one_step" for t in range(steps)]
        split = b.ops("Split", [gates, b.integers(*[1] * steps)], names, axis=0)
        parts = [
            b.reshape(part, (-1, 4 * node.features), f"{name}/{t}/input")
            for t, part in enumerate(split)
        ]
    h, c, values = None, None, []
    for t, part in enumerate(parts):
        at = f"{name}/{t}"
        if h is not None:
            part = _with_state(b, node, part, h, at)
        h, c = _cell(b, node, part, c, at, f"{at}/h")
        values.append(b.op("Unsqueeze", [h, b.integers(0)], f"{at}/value"))
    return b.op("Concat", values, name, axis=0)


def lstm_at_step(b: Builder, node: Lstm, x: str, before: list[str]) -> list[str]:
    """Add one step of an LSTM.

    Args:
        b: the builder.
        node: the layer.
        x: its input, `[N, I]`.
        before: h and c before the step.

    Returns:
        Its value, which is h, then h and c after the step.
    """
    h, c = before
    gates = _input_gates(b, node, x, f"{node.name}/input_gates")
    gates = _with_state(b, node, gates, h, node.name)
    h, c = _cell(b, node, gates, c, node.name, node.name)
    return [h, h, c]


def _input_gates(b: Builder, node: Lstm, rows: str, name: str) -> str:
    """Add W x + b."""
    weight = b.weight(f"{node.name}.weight", node.weight)
    bias = b.constant(f"{node.name}.bias", node.bias)
    return b.op("Gemm", [rows, weight, bias], name, transB=1)


def _with_state(b: Builder, node: Lstm, gates: str, h: str, at: str) -> str:
    """Add U h.

    Gemm transposes U: onnxruntime before 1.29 does not load a Transpose of int8 weights.
    """
    weight = b.weight(f"{node.name}.recurrent", node.recurrent)
    of_state = b.op("Gemm", [h, weight], f"{at}/state_gates", transB=1)
    return b.op("Add", [gates, of_state], f"{at}/gates")


def _cell(b: Builder, node: Lstm, gates: str, c: str | None, at: str, name: str) -> tuple[str, str]:
    """Add h and c after a step from its gates `[N, 4F]`; h is called `name`."""
    names = [f"{at}/{gate}" for gate in ("i", "f", "g", "o")]
    i, f, g, o = b.ops("Split", [gates, b.integers(*[node.features] * 4)], names, axis=1)
    kept = b.op("Sigmoid", [i], f"{at}/input_gate")
    candidate = b.op("Tanh", [g], f"{at}/candidate")
    after = b.op("Mul", [kept, candidate], f"{at}/added")
    if c is not None:
        forget = b.op("Sigmoid", [f], f"{at}/forget_gate")
        after = b.op("Add", [b.op("Mul", [forget, c], f"{at}/kept"), after], f"{at}/c")
    out = b.op("Sigmoid", [o], f"{at}/output_gate")
    return b.op("Mul", [out, b.op("Tanh", [after], f"{at}/squashed")], name), after
