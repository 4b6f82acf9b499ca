"""Nodes with equations of their own in ONNX: unrolled over all steps, or one step with states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ..graph.cell import COMPARISONS
from ..graph.ir import Array, Cell, Dynamics, Shape
from .builder import Builder
from .neurons import with_recurrence, with_recurrence_over_time

OPERATORS = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "neg": "Neg",
    "abs": "Abs",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "erf": "Erf",
    "minimum": "Min",
    "maximum": "Max",
    "where": "Where",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
}


def cell_over_time(
    b: Builder, node: Dynamics, inputs: list[str], shape: Shape, steps: int, repeated: list[bool]
) -> str:
    """Unroll a node over all steps, and return its value, `[T, N, ...]`.

    Args:
        b: the builder.
        node: a neuron, or values with equations of their own.
        inputs: what it reads, `[T, N, ...]`, or `[1, N, ...]` if `repeated`.
        shape: of a sample.
        steps: T.
        repeated: of each input, whether it is the same at every step.
    """
    name = node.name
    parts = []  # of each input its steps
    for i, (x, same) in enumerate(zip(inputs, repeated, strict=True)):
        of_input = [x] * steps
        if not same and steps > 1:
            names = [f"{name}/{t}/input{i or ''}" for t in range(steps)]
            of_input = b.ops("Split", [x, b.integers(*[1] * steps)], names, axis=0)
        parts.append(of_input)
    sizes = b.op("Shape", [parts[0][0]], f"{name}/sizes")
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    at_rest = b.op("ConstantOfShape", [sizes], f"{name}/at_rest", value=zero)
    b.state_shape(at_rest, [1, *shape])
    states = [at_rest] * len(node.states)
    called = "spikes" if isinstance(node, Cell) else "value"
    values: list[str] = []
    for t, (x, *others) in enumerate(zip(*parts, strict=True)):
        if t and node.recurrent is not None:
            before = states[node.states.index("s")]
            x = with_recurrence_over_time(b, node, x, before, f"{name}/{t}")

        def at_step(key: str, table: Array, t: int = t) -> str:
            return b.constant(f"{name}.{key}{t}", table[t])

        value = f"{name}/{t}/{called}" if steps > 1 else name
        found = _step(b, node, [x, *others], states, at_step, f"{name}/{t}", value)
        values.append(found[0])
        states = found[1:]
    return values[0] if steps == 1 else b.op("Concat", values, name, axis=0)


def cell_at_step(
    b: Builder, node: Dynamics, inputs: list[str], before: list[str], step: str
) -> list[str]:
    """Add one step of a node.

    Args:
        b: the builder.
        node: a neuron, or values with equations of their own.
        inputs: what it reads, `[N, ...]`.
        before: its states before the step.
        step: the number of the step.

    Returns:
        Its value, then its states after the step.
    """

    def by_step(key: str, table: Array) -> str:
        stored = b.constant(f"{node.name}.{key}", table)
        return b.op("Gather", [stored, step], f"{node.name}/{key}", axis=0)

    x, *others = inputs
    if node.recurrent is not None:
        x = with_recurrence(b, node, x, before[node.states.index("s")], node.name)
    return _step(b, node, [x, *others], before, by_step, node.name, node.name)


def _step(
    b: Builder,
    node: Dynamics,
    inputs: list[str],
    before: list[str],
    schedule: Callable[[str, Array], str],
    at: str,
    name: str,
) -> list[str]:
    """Add the operations of a step; return the value, which is called `name`, and states."""

    def name_of(value: Any, i: int | None) -> str:
        if isinstance(value, str):
            return value
        return b.constant(f"{node.name}.constant{i}", value)

    def apply(i: int, kind: str, inputs: list[Any]) -> str:
        names = [name_of(value, constants.get(id(value))) for value in inputs]
        out = f"{at}/{kind}{i}"
        if kind == "where":
            names[0] = b.op("Cast", names[:1], f"{out}/condition", to=TensorProto.BOOL)
        if kind not in COMPARISONS:
            return b.op(OPERATORS[kind], names, out)
        fires = b.op(OPERATORS[kind], names, f"{out}/fires")
        return b.op("Cast", [fires], out, to=TensorProto.FLOAT)

    constants = {id(values): i for i, values in enumerate(node.constants)}
    schedules = [
        schedule(key, np.ascontiguousarray(table))
        for key, table in zip(node.schedule_names, node.schedules, strict=True)
    ]
    values = node.results(inputs, [*before], [*schedules], apply)
    return [b.op("Identity", [values[node.output]], name), *(values[i] for i in node.after)]
