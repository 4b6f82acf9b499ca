"""Products with matrices: along an axis, and of two values."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ...graph import ir as g
from ..samples import aligned, first_of, parted, put_back, reshaped, samples
from ..values import Const, Signal

if TYPE_CHECKING:
    from ..lowering import Lowering


def along(low: Lowering, x: Any, dim: int, weight: g.Array, bias: g.Array) -> Signal:
    """y = W x + b over an axis of samples: a linear layer where it is the only one, else a
    convolution of 1 x 1, whose channels this axis is."""
    x = low.signal(x)
    heads, rest = parted(low, x)
    dim %= len(x.axes)
    if dim < len(heads):
        raise low.refusal("it computes over steps or samples of the batch", "permute its input")
    arrays = {"weights": (weight,), "biases": (bias,), "of_step": (0,)}
    if len(rest) == 1:
        x = samples(low, x, 1)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            return [g.Linear(name=name, inputs=tuple(inputs), **arrays)]

        return low.call([x], (len(weight),), make, axes=x.axes, weights=(weight, bias))
    x = first_of(x, dim)
    size, *others = (low.size(x, axis) for axis in x.axes[len(heads) :])
    sides = (1, others[0]) if len(others) == 1 else (others[0], prod(others[1:]))
    x = reshaped(low, x, (size, *sides))

    def make_image(name: str, inputs: list[Any]) -> list[g.Node]:
        kernel = {**arrays, "weights": (weight[:, :, None, None],)}
        return [g.Conv(name=name, inputs=tuple(inputs), **kernel)]

    y = low.call([x], (len(weight), *sides), make_image, axes=x.axes)
    if len(others) == 1:
        y = Signal(y.layer, y.step, (*heads, 0, 2))
    elif len(others) > 2:
        y = reshaped(low, y, (len(weight), *others))
    return put_back(y, dim)


def matmul(low: Lowering, x: Any, y: Any) -> Any:
    """A product of matrices, of which one may be constant."""
    if isinstance(y, Const) and y.tensor.ndim == 2:
        weight = low.array(low.constant(y, lambda w: w.t()))
        return along(low, x, -1, weight, np.zeros(len(weight), np.float32))
    if isinstance(x, Const) and x.tensor.ndim == 2:
        weight = low.array(x)
        return along(low, y, -2, weight, np.zeros(len(weight), np.float32))
    if isinstance(x, Const) or isinstance(y, Const):
        why = "it multiplies by a constant of more than two axes"
        raise low.refusal(why, "multiply by a matrix, or use nn.Linear")
    inputs, axes = aligned(low, [samples(low, x), samples(low, y)])
    shapes = [low.folding.shape(part.layer) for part in inputs if isinstance(part, Signal)]
    shape = g.MatMul(name="product", inputs=("a", "b")).shape(shapes)

    def make(name: str, names: list[Any]) -> list[g.Node]:
        return [g.MatMul(name=name, inputs=tuple(names))]

    return low.call(inputs, shape, make, axes=axes)
