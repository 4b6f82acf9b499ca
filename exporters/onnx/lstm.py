"""Long short-term memory in ONNX: unrolled over all steps, or one step with its states.

It is written in the primitive operators of the equations of `asnn.exporters.graph.ir.Lstm`, so that
both forms compute the same floats; ONNX's LSTM takes all steps at once.
"""

from __future__ import annotations

from ..graph.ir import Lstm
from .builder import Builder


def lstm_over_time(b: Builder, node: Lstm, x: str, steps: int, repeated: bool) -> str:
    """Unroll an LSTM over all steps, and return h of each, `[T, N, F]`.

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
