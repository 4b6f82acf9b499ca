"""Which axes of an array are steps and samples: `[N, ...]`, `[T, N, ...]` or `[N, T, ...]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from ..graph.ir import Array, Shape

Layout = Literal["N", "TN", "NT"]
AXES = {"N": "[N, ...]", "TN": "[T, N, ...]", "NT": "[N, T, ...]"}


def layouts_of(
    dims: Sequence[int | None], shape: Shape, *, steps: int, batch: int | None = None
) -> list[Layout]:
    """Return the layouts in which an array of these sizes holds samples of a shape.

    Args:
        dims: sizes of the axes; None for one that is free.
        shape: of a sample at one step, which may be flattened.
        steps: T.
        batch: N, if it is known.
    """
    expected = {"T": steps, "N": batch}
    found: dict[Layout, tuple[bool, bool]] = {}
    for layout in get_args(Layout):
        lead, rest = dims[: len(layout)], dims[len(layout) :]
        wanted = [expected[axis] for axis in layout]
        fits = all(
            size in (None, own) or own is None for size, own in zip(lead, wanted, strict=False)
        )
        if fits and len(lead) == len(layout) and _holds(rest, shape):
            states_steps = layout == "N" or lead[layout.index("T")] is not None
            found[layout] = len(rest) == len(shape), states_steps
    # A sample that is not flattened, and a number of steps that is stated, are no chance.
    for quality in range(2):
        best: list[Layout] = [layout for layout, each in found.items() if each[quality]]
        found = {layout: found[layout] for layout in best or found}
    return [*found]


def _holds(sizes: Sequence[int | None], shape: Shape) -> bool:
    """Return whether axes of these sizes hold a sample, as it is or flattened."""
    if len(sizes) == len(shape):
        return all(size in (None, own) for size, own in zip(sizes, shape, strict=True))
    known = [size for size in sizes if size is not None]
    return bool(sizes) and len(known) == len(sizes) and math.prod(known) == math.prod(shape)


def arranged(code: Array, layout: Layout, rest: Sequence[int | None]) -> Array:
    """Return a code `[T, B, ...]` in a layout, samples of the sizes `rest` where they are known."""
    if layout == "N":
        code = code[0]
    elif layout == "NT":
        code = code.swapaxes(0, 1)
    lead = code.shape[: len(layout)]
    sizes = [size for size in rest if size is not None]
    shape = tuple(sizes) if len(sizes) == len(rest) else code.shape[len(layout) :]
    return np.ascontiguousarray(code.reshape(*lead, *shape))


def as_steps(values: Array, layout: Layout) -> Array:
    """Return an output as `[T, B, K]`, or `[B, K]` of one without steps."""
    if layout == "NT":
        values = values.swapaxes(0, 1)
    return values.reshape(*values.shape[: len(layout)], math.prod(values.shape[len(layout) :]))
