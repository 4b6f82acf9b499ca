"""Functions that select, join and arrange axes: what the axes of their values are.

Only `reshape` of samples is a layer; the axes of steps and batch are followed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from .elementwise import ELEMENTWISE
from .samples import concatenated, picked, reshaped
from .values import ALL, Axes, Axis, Collected, Const, Signal, State

if TYPE_CHECKING:
    from .lowering import Lowering

ONE_LAYER = (
    "collect the values of one layer, one for each step, and compute them alike in all steps: "
    "states begin as zeros, mem = torch.zeros_like(x)"
)
OUT_OF_ORDER = "it does not stack the values of one layer over all steps, in order"


def select(low: Lowering, x: Any, dim: int, index: int) -> Any:
    """Return one step of all, or the last."""
    if isinstance(x, Collected):
        if dim % (len(low.node.meta["val"].shape) + 1) != x.dim:
            why = "it reads a part of values that are not all set"
            raise low.refusal(why, "collect the steps in a list")
        found = dict(x.of).get(index % x.steps)
        return low.rest(low.node.meta["val"].shape) if found is None else found
    x = low.traced(x)
    dim %= len(x.axes)
    axis, axes = x.axes[dim], (*x.axes[:dim], *x.axes[dim + 1 :])
    if axis == "T" and x.step == ALL:
        return replace(x, step=index % low.size(x, axis), axes=axes)
    if axis is None or low.size(x, axis) == 1:
        return replace(x, axes=axes)
    if isinstance(axis, int):
        one = picked(low, low.signal(x), axis, [index])
        return replace(one, axes=tuple(a for a in one.axes if a != axis))
    raise low.refusal("it selects samples of the batch", "give a forward for a batch of any size")


def slice_(
    low: Lowering, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    x = low.traced(x)
    axis = x.axes[dim % len(x.axes)]
    size = low.size(x, axis)
    indices = list(range(size))[start:end:step]
    if len(indices) == size:
        return x
    if isinstance(axis, int):
        return picked(low, low.signal(x), axis, indices)
    why = "it selects some of the steps" if axis == "T" else "it selects samples of the batch"
    raise low.refusal(why, "select single steps: x[t]")


def unbind(low: Lowering, x: Any, dim: int = 0) -> Any:
    x = low.traced(x)
    size = low.size(x, x.axes[dim % len(x.axes)])
    return [select(low, x, dim, i) for i in range(size)]


def split(low: Lowering, x: Any, sizes: Any, dim: int = 0) -> Any:
    x = low.traced(x)
    whole = low.size(x, x.axes[dim % len(x.axes)])
    each = [sizes] * -(-whole // sizes) if isinstance(sizes, int) else sizes
    starts = [sum(each[:i]) for i in range(len(each))]
    return [
        slice_(low, x, dim, start, start + size) for start, size in zip(starts, each, strict=True)
    ]


def stack(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Any:
    parts = list(tensors)
    first = parts[0]
    if len(parts) == 1 and low.is_taken_apart:
        return unsqueeze(low, first, dim)
    if all(isinstance(part, Signal | State) for part in parts):
        axes = list(first.axes)
        axes.insert(dim % (len(axes) + 1), "T")
        found = _over_steps(low, parts, tuple(axes))
        if found is not None:
            return found
    raise low.refusal(OUT_OF_ORDER, ONE_LAYER)


def _over_steps(low: Lowering, parts: list[Any], axes: Axes) -> Any:
    """Return values of all steps as one; None if they are not those of one layer, in order."""
    first = parts[0]
    if first.step is None and parts == [first] * len(parts):
        low.fixed.add(len(parts))
        return replace(first, step=ALL, axes=axes)
    if first.step != 0 or parts != [replace(first, step=t) for t in range(len(parts))]:
        return None
    low.fixed.add(len(parts))
    return replace(first, step=ALL, axes=axes)


def cat(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Join steps, or features or channels of samples."""
    parts = [part for part in tensors if not (isinstance(part, Const) and not part.tensor.numel())]
    first: Any = parts[0]
    if len(parts) == 1:
        return first
    axis = first.axes[dim % len(first.axes)] if isinstance(first, Signal | State) else 0
    if axis is None and all(isinstance(part, Signal | State) for part in parts):
        at = dim % len(first.axes)
        found = _over_steps(low, parts, (*first.axes[:at], "T", *first.axes[at + 1 :]))
        if found is not None:
            return found
    if not isinstance(axis, int) or axis != 0:
        raise low.refusal(
            OUT_OF_ORDER if axis is None else "it joins neither steps nor channels",
            "join features or channels with torch.cat([a, b], 1), steps with torch.stack",
        )
    return concatenated(low, parts)


def select_scatter(low: Lowering, base: Any, source: Any, dim: int, index: int) -> Any:
    """Set one step of a tensor of zeros: `out[t] = spk`."""
    size = low.node.meta["val"].shape[dim]
    if isinstance(base, Const) and base.is_zero:
        base = Collected((), size, dim % base.tensor.ndim)
    if not isinstance(base, Collected) or base.dim != dim % len(low.node.meta["val"].shape):
        raise low.refusal("it changes a part of a value", "collect the steps in a list")
    of = {**dict(base.of), index % size: low.traced(source)}
    if len(of) < size:
        return replace(base, of=tuple(of.items()))
    axes = list(low.traced(source).axes)
    axes.insert(base.dim, "T")
    found = _over_steps(low, [of[t] for t in range(size)], tuple(axes))
    if found is None:
        raise low.refusal(OUT_OF_ORDER, "collect the steps in a list")
    return found


def permute(low: Lowering, x: Any, dims: Sequence[int]) -> Any:
    x = low.traced(x)
    return replace(x, axes=tuple(x.axes[d] for d in dims))


def transpose(low: Lowering, x: Any, a: int, b: int) -> Any:
    dims = list(range(len(low.traced(x).axes)))
    dims[a], dims[b] = dims[b], dims[a]
    return permute(low, x, dims)


def unsqueeze(low: Lowering, x: Any, dim: int) -> Any:
    x = low.traced(x)
    axes = list(x.axes)
    axes.insert(dim % (len(axes) + 1), None)
    return replace(x, axes=tuple(axes))


def squeeze(low: Lowering, x: Any, dims: Any = None) -> Any:
    x = low.traced(x)
    chosen = [dims] if isinstance(dims, int) else list(range(len(x.axes)) if dims is None else dims)
    chosen = [d % len(x.axes) for d in chosen]
    gone = [d for d in chosen if x.axes[d] not in ("T", "B") and low.size(x, x.axes[d]) == 1]
    return replace(x, axes=tuple(axis for d, axis in enumerate(x.axes) if d not in gone))


def expand(low: Lowering, x: Any, sizes: Sequence[int], **_: Any) -> Any:
    """Expand or repeat an image over the steps."""
    x = low.traced(x)
    axes = (None,) * (len(sizes) - len(x.axes)) + x.axes
    found: list[Axis] = []
    steps = None
    for axis, size in zip(axes, sizes, strict=True):
        if size in (-1, 1) or (axis is not None and size == low.size(x, axis)):
            found.append(axis)
        elif axis is None and steps is None and x.step is None:
            steps = size
            found.append("T")
        else:
            why = "it does not repeat an image over the steps"
            raise low.refusal(why, "use x.unsqueeze(0).repeat(T, 1, ...)")
    if steps is None:
        return replace(x, axes=tuple(found))
    low.fixed.add(steps)
    low.reads(x)
    return replace(x, step=ALL, axes=tuple(found))


def repeat(low: Lowering, x: Any, sizes: Sequence[int]) -> Any:
    x = low.traced(x)
    axes = (None,) * (len(sizes) - len(x.axes)) + x.axes
    own = [low.size(x, axis) for axis in axes]
    if any(size != 1 and n != 1 for size, n in zip(own, sizes, strict=True)):
        why = "it does not repeat an image over the steps"
        raise low.refusal(why, "use x.unsqueeze(0).repeat(T, 1, ...)")
    return expand(low, x, [a * b for a, b in zip(own, sizes, strict=True)])


def view(low: Lowering, x: Any, *_: Any) -> Any:
    """Arrange the values anew: steps and batch as one axis or as two, and samples."""
    x = low.traced(x)
    sizes = [low.size(x, axis) for axis in x.axes]
    wanted = list(low.node.meta["val"].shape)
    groups = _groups(sizes, wanted)
    heads: list[Axis] = []
    sample: list[tuple[list[Axis], list[int]]] = []
    for own, given in groups:
        axes = [x.axes[i] for i in own]
        shape = [wanted[i] for i in given]
        if any(isinstance(axis, str) for axis in axes):
            head = _head(low, x, axes, shape)
            if head is None or sample:
                why = f"view({', '.join(map(str, wanted))}) mixes steps or samples of the batch"
                raise low.refusal(why, "use flatten(1), or flatten(2) of [T, B, ...]")
            heads += head
        else:
            sample.append((axes, shape))
    if not heads:
        raise low.refusal("it mixes samples of the batch", "use flatten(1)")
    return _sample_view(low, replace(x, axes=(*heads, *_samples(x.axes))), heads, sample)


def _samples(axes: Axes) -> Axes:
    return tuple(axis for axis in axes if not isinstance(axis, str))


def _sample_view(
    low: Lowering, x: Any, heads: list[Axis], groups: list[tuple[list[Axis], list[int]]]
) -> Any:
    """Return a value whose samples are arranged anew; without a layer where only sizes of 1 are."""
    found: list[Axis] = []
    for axes, shape in groups:
        large = [axis for axis in axes if low.size(x, axis) != 1]
        if sum(size != 1 for size in shape) != len(large) or len(large) > 1:
            shape = [size for _, sizes in groups for size in sizes]
            return reshaped(low, low.signal(x), tuple(shape))
        rest = iter(large)
        found += [next(rest) if size != 1 else None for size in shape]
    return replace(x, axes=(*heads, *found))


def _head(low: Lowering, x: Any, axes: list[Axis], shape: list[int]) -> list[Axis] | None:
    """Return steps and batch in another arrangement; None if there is none."""
    large = [axis for axis in axes if isinstance(axis, str)]
    if any(isinstance(axis, int) for axis in axes):
        return None
    if len(shape) == 1:
        merged: dict[tuple[str, ...], Axis] = {("T", "B"): "TB", ("B", "T"): "BT"}
        if len(large) == 1:
            return [large[0]]
        return [merged[tuple(large)]] if tuple(large) in merged else None
    split_axes = {"TB": ["T", "B"], "BT": ["B", "T"]}.get(large[0]) if len(large) == 1 else large
    if split_axes is None:
        return None
    sizes = [low.size(x, axis) for axis in split_axes]
    return list(split_axes) if shape == sizes else None


def _groups(own: list[int], wanted: list[int]) -> list[tuple[list[int], list[int]]]:
    """Return the smallest groups of axes, of both shapes, with as many values each."""
    if prod(own) != prod(wanted):
        raise ValueError(f"{own} has not as many values as {wanted}")
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(own) or j < len(wanted):
        left, right = own[i : i + 1], wanted[j : j + 1]
        if left == [1] and right != [1]:
            groups.append(([i], []))
            i += 1
            continue
        if right == [1] and left != [1]:
            groups.append(([], [j]))
            j += 1
            continue
        a, b = i + 1, j + 1
        while prod(own[i:a]) != prod(wanted[j:b]):
            if prod(own[i:a]) < prod(wanted[j:b]):
                a += 1
            else:
                b += 1
        groups.append((list(range(i, a)), list(range(j, b))))
        i, j = a, b
    return groups


def pixel_axes(low: Lowering, x: Any, axes: list[Axis]) -> list[int]:
    """Return the numbers of the axes of samples among these."""
    return [axis for axis in axes if isinstance(axis, int) and low.size(x, axis) > 1]


def _same(low: Lowering, x: Any, *_: Any, **__: Any) -> Any:
    return x


def converted(low: Lowering, x: Any, *_: Any, dtype: Any = None, **__: Any) -> Any:
    if dtype is None or dtype.is_floating_point or not low.dtype.is_floating_point:
        return x
    if dtype == torch.bool:
        return ELEMENTWISE["bool"](low, x)
    raise low.refusal(f"it converts values to {dtype}", "leave it out: spikes are 0.0 and 1.0")


def _copied(low: Lowering, to: Any, source: Any, *_: Any) -> Any:
    return source


ARRANGING: dict[str, Callable[..., Any]] = {
    "select": select,
    "slice": slice_,
    "unbind": unbind,
    "split": split,
    "split_with_sizes": split,
    "stack": stack,
    "cat": cat,
    "select_scatter": select_scatter,
    "permute": permute,
    "transpose": transpose,
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "expand": expand,
    "repeat": repeat,
    "view": view,
    "reshape": view,
    "_unsafe_view": view,
    "flatten": view,
    "unflatten": view,
    "clone": _same,
    "detach": _same,
    "alias": _same,
    "contiguous": _same,
    "lift_fresh_copy": _same,
    "_to_copy": converted,
    "to": converted,
    "copy": _copied,
}
