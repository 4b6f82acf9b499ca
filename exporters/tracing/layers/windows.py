"""Pools, padding, interpolation, and what else moves values along the axes of samples."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...graph import ir as g
from ..samples import (
    concatenated,
    gathered,
    image,
    of_image,
    padded,
    parted,
    picked,
    reshaped,
    samples,
    with_axis,
)
from ..values import Const, Signal
from .matrices import along

if TYPE_CHECKING:
    from ..lowering import Lowering


def max_pool(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = (0,),
    dilation: Any = (1,), ceil_mode: bool = False,
) -> Any:  # fmt: skip
    axes = low.pooled_axes
    options = {"dilation": pair(dilation, axes), "ceil_mode": ceil_mode}
    return _pool(low, x, axes, "max", (kernel, stride, padding), options)


def max_pool_with_indices(low: Lowering, *args: Any, **kwargs: Any) -> Any:
    return max_pool(low, *args, **kwargs), None


def avg_pool(
    low: Lowering, x: Any, kernel: Any, stride: Any = (), padding: Any = (0,),
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,
) -> Any:  # fmt: skip
    axes = low.pooled_axes
    options = {
        "ceil_mode": ceil_mode, "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }  # fmt: skip
    return _pool(low, x, axes, "average", (kernel, stride, padding), options)


def adaptive_avg_pool(low: Lowering, x: Any, size: Any) -> Any:
    window = _equal_windows(low, x, size)
    if window is None:
        return resampled(low, x, size)
    return _pool(low, x, low.pooled_axes, "average", (window, window, (0, 0)), {})


def adaptive_max_pool(low: Lowering, x: Any, size: Any) -> Any:
    window = _equal_windows(low, x, size)
    if window is None:
        why = "it takes windows of unequal size"
        raise low.refusal(why, "pool to sizes that divide the image, or take averages")
    return _pool(low, x, low.pooled_axes, "max", (window, window, (0, 0)), {}), None


def _equal_windows(low: Lowering, x: Any, size: Any) -> tuple[int, int] | None:
    """Return the window of an adaptive pool; None where windows differ."""
    axes = low.pooled_axes
    own = low.folding.shape(image(low, x, axes).layer)[1:]
    wanted = [n if given is None else given for n, given in zip(own, pair(size, axes), strict=True)]
    if any(n % given for n, given in zip(own, wanted, strict=True)):
        return None
    return own[0] // wanted[0], own[1] // wanted[1]


def _pool(
    low: Lowering, x: Any, axes: int, kind: Any, window: tuple[Any, Any, Any], more: dict[str, Any]
) -> Any:
    size, stride, padding = window
    kernel = pair(size, axes)
    of_window = {"kernel": kernel, "stride": pair(stride, axes) if stride else kernel}
    of_window |= {"padding": pair(padding, axes, 0)}

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Pool(name=name, inputs=tuple(inputs), kind=kind, **of_window, **more)]

    return of_image(low, image(low, x, axes), axes, make)


def resampled(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A function that is linear along each axis of an image by itself, such as an interpolation:
    along each, a matrix, or where it copies values, their places."""
    x = low.signal(x)
    axes = low.pooled_axes
    sizes = [low.size(x, axis) for axis in x.axes[-axes:]]
    function: Any = low.node.target
    for d, size in enumerate(sizes):
        unit = torch.eye(size).reshape(size, 1, *[size if i == d else 1 for i in range(axes)])
        rows = function(unit.expand(size, 1, *sizes), *args, **kwargs).select(1, 0)
        for i in range(axes):
            rows = rows if i == d else rows.narrow(i + 1, 0, 1)
        matrix = rows.reshape(size, -1).t()
        x = _applied(low, x, d - axes, matrix.contiguous())
    return x


def _applied(low: Lowering, x: Signal, dim: int, matrix: Tensor) -> Signal:
    """Return a matrix times an axis of samples."""
    chosen = matrix.argmax(1)
    axis = x.axes[dim]
    if isinstance(axis, int) and torch.equal(matrix, torch.eye(matrix.shape[1])[chosen]):
        return gathered(low, x, axis, chosen.tolist())
    weight = matrix.numpy()
    return along(low, x, dim, weight, np.zeros(len(weight), np.float32))


NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(low: Lowering, x: Any, sizes: Any, mode: str = "constant", value: Any = None) -> Any:
    """Values around samples, `sizes` before and behind each axis from the last one on; negative
    ones cut values off."""
    x = low.signal(x)
    for i in range(0, len(sizes), 2):
        dim, before, behind = len(x.axes) - 1 - i // 2, sizes[i], sizes[i + 1]
        x = _cut(low, x, dim, max(0, -before), max(0, -behind))
        around = max(0, before), max(0, behind)
        if any(around):
            x = _around(low, x, dim, around, mode, float(value or 0))
    return x


def _cut(low: Lowering, x: Signal, dim: int, before: int, behind: int) -> Signal:
    if not before and not behind:
        return x
    x, axis = with_axis(low, x, dim)
    return gathered(low, x, axis, list(range(low.size(x, axis)))[before : -behind or None])


def _around(
    low: Lowering, x: Signal, dim: int, around: tuple[int, int], mode: str, value: float
) -> Signal:
    x, axis = with_axis(low, x, dim)
    size = low.size(x, axis)
    if mode != "constant":
        places = np.pad(np.arange(size), around, mode=NUMPY_MODES[mode])  # type: ignore[call-overload]
        return gathered(low, x, axis, places.tolist())
    if len(low.folding.shape(x.layer)) == 2 and axis == 1:  # a series
        heads, _ = parted(low, x)
        axes = tuple(2 if own == 1 else own for own in x.axes)
        series = image(low, replace(x, axes=(*heads, 0, 1)), 1)
        x, axis = replace(series, axes=axes), 2
    if len(low.folding.shape(x.layer)) == 3 and axis > 0 and value == 0:
        before, behind = ((0, n) if axis == 2 else (n, 0) for n in around)
        return padded(low, x, before, behind)
    shape = [low.size(x, each) for each in x.axes]
    parts: list[Any] = [x]
    for n, place in zip(around, (0, 2), strict=True):
        shape[dim] = n
        if n:
            parts.insert(place, Const.of(torch.full(shape, value)))
    return concatenated(low, parts, dim)


def flip(low: Lowering, x: Any, dims: Any) -> Any:
    return _each_axis(low, x, dims, lambda dim, places: places[::-1])


def roll(low: Lowering, x: Any, shifts: Any, dims: Any) -> Any:
    by = dict(zip(dims, shifts, strict=True))
    return _each_axis(
        low, x, dims, lambda dim, n: [n[(i - by[dim]) % len(n)] for i in range(len(n))]
    )


def _each_axis(low: Lowering, x: Any, dims: Any, arrange: Any) -> Signal:
    x = low.signal(x)
    for dim in dims:
        x, axis = with_axis(low, x, dim)
        x = gathered(low, x, axis, arrange(dim, list(range(low.size(x, axis)))))
    return x


def index_select(low: Lowering, x: Any, dim: int, indices: Any) -> Any:
    x, axis = with_axis(low, low.signal(x), dim)
    if not isinstance(indices, Const):
        raise low.refusal("its places depend on the input", "choose places before the network runs")
    return picked(low, x, axis, [int(i) for i in indices.tensor])


def rearranged(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A function that moves values within a sample: it is run on their numbers."""
    x = samples(low, x)
    shape = low.folding.shape(x.layer)
    heads = [1 for axis in x.axes if isinstance(axis, str)]
    numbers = torch.arange(1, prod(shape) + 1, dtype=torch.float64).reshape(*heads, *shape)
    function: Any = low.node.target
    found = function(numbers, *args, **kwargs)
    if list(found.shape[: len(heads)]) != heads:
        why = "it is over steps or samples of the batch"
        raise low.refusal(why, "let it move values of the axes behind the batch alone, by dim=-1")
    found = found.reshape(found.shape[len(heads) :])
    places = [int(n) - 1 for n in found.flatten()]
    if min(places) < 0:
        raise low.refusal("it fills in zeros", "pad its input before, F.pad(x, ...)")
    return reshaped(low, gathered(low, reshaped(low, x, (prod(shape),)), 0, places), found.shape)


def pair(value: Any, axes: int, missing: int = 1) -> tuple[Any, Any]:
    """Return the two sizes of an image; of a series, that of its one axis behind `missing`."""
    values: list[Any] = [value] if isinstance(value, int) or value is None else list(value)
    if axes == 1 and len(values) == 1:
        return (missing, values[0])
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])
