"""Sums, means and extrema, over the steps or over axes of samples; and softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ...graph import ir as g
from ...graph.equations import traced
from ..calls import ONE_STEP
from ..elementwise import is_value, of_several
from ..samples import parted, reshaped, with_axis
from ..values import ALL, Axes, Reduced, Several, Signal
from .axes import converted

if TYPE_CHECKING:
    from ..lowering import Lowering

Kind = Literal["sum", "mean", "max", "min"]


def reduced(kind: Kind) -> Callable[..., Any]:
    """Return the operator of a reduction over axes."""

    def operator(
        low: Lowering, x: Any, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Any:
        some = x if isinstance(x, Several) else None
        x = low.signal(converted(low, x if some is None else some.of, dtype=dtype))
        every = list(range(len(x.axes)))
        chosen = every if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
        positions = {d % len(x.axes) for d in chosen}
        over = {d for d in positions if x.axes[d] == "T"}
        steps = some.steps if some is not None else tuple(range(low.size(x, "T")))
        if some is not None and not over:
            raise low.refusal("it reads some of the steps", "reduce them over the steps first")
        if positions - over:
            x = _over_axes(low, x, positions - over, kind)
        gone = set() if keepdim else positions
        axes = [None if d in over else axis for d, axis in enumerate(x.axes)]
        kept = tuple(axis for d, axis in enumerate(axes) if d not in gone)
        if not over:
            return replace(x, axes=kept)
        if x.step != ALL:
            raise low.refusal("it reduces the steps of the input", ONE_STEP)
        return _over_steps(low, replace(x, axes=kept), kind, steps)

    return operator


def extremum(kind: Literal["max", "min"]) -> Callable[..., Any]:
    """Return the operator of `torch.max`: over an axis, with places that exports lack, or of two
    values."""

    def operator(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
        if args and is_value(args[0]):
            return of_several(2, torch.maximum if kind == "max" else torch.minimum)(low, x, *args)
        found = reduced(kind)(low, x, *args, **kwargs)
        return (found, None) if args or kwargs else found

    return operator


def softmax(log: bool) -> Callable[..., Any]:
    """Return the operator of a softmax over an axis, or of its logarithm."""

    def operator(low: Lowering, x: Any, dim: int, *_: Any, **__: Any) -> Any:
        x, axis = with_axis(low, x, dim)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            return [g.Softmax(name=name, inputs=tuple(inputs), axis=axis, log=log)]

        return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)

    return operator


def _over_steps(low: Lowering, x: Signal, kind: Kind, steps: tuple[int, ...]) -> Reduced:
    every = low.every
    if kind in ("sum", "mean"):
        factor = float(every) if kind == "sum" else every / len(steps)
        some = tuple(factor * (t in steps) for t in range(every))
        return Reduced(x, "mean", (factor,) if len(steps) == every else some)
    if len(steps) < every:
        why = f"it is the {kind}imum of some of the steps"
        raise low.refusal(why, "take it over all steps, or the mean or sum of some")
    greater = kind == "max"

    def step(x: Any, best: Any, began: Any) -> Any:
        better = torch.maximum(best, x) if greater else torch.minimum(best, x)
        best = torch.where(began > 0, better, x)
        return best, best, began.clamp(min=1)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        states = [f"{kind}imum", "began"]
        return [traced(g.Dynamics, name, tuple(inputs), step, states, {}, 1)]

    return Reduced(low.call([x], low.folding.shape(x.layer), make, axes=x.axes), "last")


def _over_axes(low: Lowering, x: Signal, positions: set[int], kind: Kind) -> Signal:
    """Reduce axes of samples, as a pool of one window; their sizes are 1 then."""
    axes: Axes = tuple(None if d in positions else axis for d, axis in enumerate(x.axes))
    if any(isinstance(x.axes[d], str) for d in positions):
        raise low.refusal("it reduces samples of the batch", "reduce the axes behind the batch")
    gone = [x.axes[d] for d in sorted(positions) if low.size(x, x.axes[d]) > 1]
    if not gone:
        return replace(x, axes=axes)
    heads, _ = parted(low, x)
    shape = low.folding.shape(x.layer)
    left = [axis for axis in axes if isinstance(axis, int) and shape[axis] > 1]
    if len(shape) == 3 and left in ([], [0]) and 0 not in gone:  # the pixels of an image
        return replace(_pooled(low, x, shape, kind), axes=axes)
    sizes = tuple(shape[axis] for axis in left)
    rows = (prod(sizes), 1, prod(shape) // prod(sizes))
    y = _pooled(low, reshaped(low, replace(x, axes=(*heads, *left, *gone)), rows), rows, kind)
    y = reshaped(low, y, sizes) if len(sizes) > 1 else y
    places = {axis: i for i, axis in enumerate(left)}
    found = tuple(places.get(axis) if isinstance(axis, int) else axis for axis in axes)
    return replace(y, axes=found)


def _pooled(low: Lowering, x: Signal, shape: g.Shape, kind: Kind) -> Signal:
    """Return one value for each channel."""
    window = (shape[1], shape[2])

    # A sum is a mean times the number of pixels, a minimum that of negative values.
    before, after = {"sum": (1, prod(window)), "min": (-1, -1)}.get(kind, (1, 1))
    pooling: Any = "max" if kind in ("max", "min") else "average"

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        nodes: list[g.Node] = []
        source, pooled = inputs[0], name if after == 1 else f"{name}.pooled"
        if before != 1:
            nodes.append(_scaled(f"{name}.negative", source, before))
            source = nodes[-1].name
        options = {"kind": pooling, "kernel": window, "stride": window}
        nodes.append(g.Pool(name=pooled, inputs=(source,), **options))
        return nodes if after == 1 else [*nodes, _scaled(name, pooled, after)]

    return low.call([x], (shape[0], 1, 1), make, axes=x.axes)


def _scaled(name: str, source: str, by: float) -> g.ChannelScale:
    factor = np.full((1, 1), by, np.float32)
    return g.ChannelScale(name=name, inputs=(source,), factor=factor, offset=0 * factor)
