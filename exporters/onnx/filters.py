"""Filters over time, values of other steps, and linear systems of all steps, in ONNX."""

from __future__ import annotations

import numpy as np

from ..graph.ir import Filter, Shape, Shift, Substitution
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
        states = _step(b, node, part, before, rank, f"{name}/{t}", out)
        values.append(states[-1])
        before = [*states]
    return values[0] if steps == 1 else b.op("Concat", values, name, axis=0)


def filter_at_step(b: Builder, node: Filter, x: str, before: list[str], rank: int) -> list[str]:
    """Add one step of a filter; return its value, then its states after the step."""
    states = _step(b, node, x, [*before], rank, node.name, node.name)
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


def _step(
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
