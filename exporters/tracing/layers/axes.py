"""Functions that select, join and arrange axes: what the axes of their values are.

Only `reshape` of samples is a layer; the axes of steps and batch are followed by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from ..elementwise import ELEMENTWISE
from ..samples import concatenated, gathered, picked, reshaped, with_axis
from ..values import ALL, Axes, Axis, Collected, Const, Several, Signal, State

if TYPE_CHECKING:
    from ..lowering import Lowering

WHOLE = (
    "leave it out: spikes are 0.0 and 1.0; for nn.Embedding let the network take one-hot values, "
    "F.one_hot(x, K).float(), with nn.Linear in its place"
)
ONE_LAYER = (
    "collect the values of one layer, one for each step, and compute them alike in all steps: "
    "states begin as zeros, mem = torch.zeros_like(x)"
)
OF_INPUT = (
    "collect values behind the input of their step, such as spikes behind mem = beta * mem + fc(x)"
)
OUT_OF_ORDER = "it does not stack the values of one layer over all steps, in order"


def of_some(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operator of one axis that computes it of some of the steps as of all."""

    def operator(low: Lowering, x: Any, dim: int = 0, *rest: Any) -> Any:
        if not isinstance(x, Several) or x.of.axes[dim % len(x.of.axes)] == "T":
            return function(low, x, dim, *rest)
        found = function(low, x.of, dim, *rest)
        if isinstance(found, list):
            return [Several(each, x.steps) for each in found]
        return Several(found, x.steps)

    return operator


@of_some
def select(low: Lowering, x: Any, dim: int, index: int) -> Any:
    """Return one step of all, or the last; or one place of an axis of samples."""
    if isinstance(x, Collected):
        if dim % (len(low.node.meta["val"].shape) + 1) != x.dim:
            why = "it reads a part of values that are not all set"
            raise low.refusal(why, "collect the steps in a list")
        found = dict(x.of).get(index % x.steps)
        return low.rest(low.node.meta["val"].shape) if found is None else found
    some = x.steps if isinstance(x, Several) else None
    x = low.traced(x.of if isinstance(x, Several) else x)
    dim %= len(x.axes)
    axis, axes = x.axes[dim], (*x.axes[:dim], *x.axes[dim + 1 :])
    if axis == "T" and x.step == ALL:
        steps = range(low.size(x, axis)) if some is None else some
        return replace(x, step=steps[index], axes=axes)
    if axis is None or low.size(x, axis) == 1:
        return replace(x, axes=axes)
    if isinstance(axis, int):
        one = picked(low, low.signal(x), axis, [index % low.size(x, axis)])
        return replace(one, axes=axes)
    raise low.refusal("it selects samples of the batch", "give a forward for a batch of any size")


@of_some
def slice_(
    low: Lowering, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    some = x.steps if isinstance(x, Several) else None
    x = low.traced(x.of if isinstance(x, Several) else x)
    axis = x.axes[dim % len(x.axes)]
    if axis == "T" and x.step == ALL:
        steps = tuple(range(low.size(x, axis)) if some is None else some)[start:end:step]
        return x if len(steps) == low.size(x, axis) else Several(x, steps)
    size = low.size(x, axis)
    indices = list(range(size))[start:end:step]
    if len(indices) == size:
        return x
    if isinstance(axis, int):
        return picked(low, low.signal(x), axis, indices)
    raise low.refusal("it selects samples of the batch", "select single steps: x[t]")


@of_some
def unbind(low: Lowering, x: Any, dim: int = 0) -> Any:
    if isinstance(x, Several):
        return [select(low, x, dim, i) for i in range(len(x.steps))]
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


def chunk(low: Lowering, x: Any, number: int, dim: int = 0) -> Any:
    x = low.traced(x)
    return split(low, x, -(-low.size(x, x.axes[dim % len(x.axes)]) // number), dim)


def stack(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Join values on a new axis: that of the steps, or one of samples."""
    parts = list(tensors)
    first: Any = next(part for part in parts if not isinstance(part, Const))
    dim %= len(low.node.meta["val"].shape)
    if len(parts) == 1 and low.is_taken_apart:
        return unsqueeze(low, first, dim)
    if all(isinstance(part, Signal | State) for part in parts):
        axes = list(first.axes)
        axes.insert(dim, "T")
        found = _over_steps(low, parts, tuple(axes))
        if found is not None:
            return found
    if dim < _first_axis(first) and any(isinstance(part, Const) for part in parts):
        raise low.refusal("some of its values do not depend on the input", OF_INPUT)
    if dim >= _first_axis(first) and len({_step_of(part) for part in parts}) == 1:
        return concatenated(low, [unsqueeze(low, part, dim) for part in parts], dim)
    raise low.refusal(OUT_OF_ORDER, ONE_LAYER)


def _step_of(x: Any) -> Any:
    return x.step if isinstance(x, Signal | State) else None


def _first_axis(x: Any) -> int:
    """Return the number of the first axis of samples."""
    return 1 + max((d for d, axis in enumerate(x.axes) if isinstance(axis, str)), default=-1)


def _over_steps(low: Lowering, parts: list[Any], axes: Axes) -> Any:
    """Return values of all steps, or of some, as one; None if they are not those of one layer, in
    order."""
    first = parts[0]
    if first.step is None and parts == [first] * len(parts):
        low.fixed.add(len(parts))
        return replace(first, step=ALL, axes=axes)
    steps = tuple(_step_of(part) for part in parts)
    if not all(isinstance(t, int) for t in steps) or len(set(steps)) < len(steps):
        return None
    if parts != [replace(first, step=t) for t in steps]:
        return None
    whole = replace(first, step=ALL, axes=axes)
    if steps != tuple(range(len(steps))):
        return Several(whole, steps) if steps == tuple(sorted(steps)) else None
    low.fixed.add(len(parts))
    return whole


def cat(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Join steps, or values of samples along an axis."""
    parts = [part for part in tensors if not (isinstance(part, Const) and not part.tensor.numel())]
    if len(parts) == 1:
        return parts[0]
    first: Any = low.traced(next(part for part in parts if not isinstance(part, Const)))
    dim %= len(first.axes)
    if first.axes[dim] is None and all(isinstance(part, Signal | State) for part in parts):
        found = _over_steps(low, parts, (*first.axes[:dim], "T", *first.axes[dim + 1 :]))
        if found is not None:
            return found
    if dim < _first_axis(first):
        raise low.refusal(
            OUT_OF_ORDER if first.axes[dim] is None else "it joins neither steps nor channels",
            "join features or channels with torch.cat([a, b], 1), steps with torch.stack",
        )
    return concatenated(low, parts, dim)


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
    """Repeat an image over the steps, or values along axes of samples."""
    x = low.traced(x)
    x = replace(x, axes=(None,) * (len(sizes) - len(x.axes)) + x.axes)
    for d, size in enumerate(sizes):
        own = low.size(x, x.axes[d])
        if size not in (-1, own):
            x = _repeated(low, x, d, size)
    return x


def repeat(low: Lowering, x: Any, sizes: Sequence[int]) -> Any:
    x = low.traced(x)
    x = replace(x, axes=(None,) * (len(sizes) - len(x.axes)) + x.axes)
    for d, times in enumerate(sizes):
        if times != 1:
            x = _repeated(low, x, d, times)
    return x


def _repeated(low: Lowering, x: Any, dim: int, times: int) -> Any:
    """Return a value that is repeated along an axis."""
    if dim >= _first_axis(x):
        x, axis = with_axis(low, x, dim)
        return gathered(low, x, axis, list(range(low.size(x, axis))) * times)
    if x.axes[dim] is not None or x.step is not None:
        why = "it does not repeat an image over the steps"
        raise low.refusal(why, "use x.unsqueeze(0).repeat(T, 1, ...)")
    low.fixed.add(times)
    low.reads(x)
    return replace(x, step=ALL, axes=(*x.axes[:dim], "T", *x.axes[dim + 1 :]))


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


def _same(low: Lowering, x: Any, *_: Any, **__: Any) -> Any:
    return x


def converted(low: Lowering, x: Any, *_: Any, dtype: Any = None, **__: Any) -> Any:
    if dtype is None or dtype.is_floating_point or not low.dtype.is_floating_point:
        return x
    if dtype == torch.bool:
        return ELEMENTWISE["bool"](low, x)
    raise low.refusal(f"it converts values to {dtype}", WHOLE)


def _copied(low: Lowering, to: Any, source: Any, *_: Any) -> Any:
    return source


ARRANGING: dict[str, Callable[..., Any]] = {
    "select": select,
    "slice": slice_,
    "unbind": unbind,
    "split": split,
    "chunk": chunk,
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
    "type_as": _same,
    "_to_copy": converted,
    "to": converted,
    "copy": _copied,
}
