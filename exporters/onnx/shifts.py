"""Values of other steps in ONNX."""

from __future__ import annotations

from ..graph.ir import Shift
from .builder import Builder


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
