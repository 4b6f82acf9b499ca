"""Samples of values: as layers take them, joined, picked, and in other shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..graph import ir as g
from ..graph.equations import traced
from .calls import ONE_STEP
from .folding import Make
from .values import ALL, Axes, Const, Signal

if TYPE_CHECKING:
    from .lowering import Lowering


FROM_REST = (
    "use one that does not; if it is a state that a call has left, begin the forward with zeros, "
    "mem = torch.zeros_like(x)"
)
ONE_SHAPE = "give all the same sizes, but along the axis that they are joined on"


def samples(low: Lowering, x: Any, rank: int | None = None) -> Signal:
    """Return a value whose samples have all their axes, in order, behind steps and batch."""
    x = low.signal(x)
    _, rest = parted(low, x)
    shape = tuple(low.size(x, axis) for axis in rest)
    if rank is not None and len(shape) != rank:
        raise low.refusal(
            f"it takes samples of {rank} axes, not {list(shape)}", "flatten them before"
        )
    return reshaped(low, x, shape)


def image(low: Lowering, x: Any, axes: int) -> Signal:
    """Return a value whose samples are images; series `[C, L]` become `[C, 1, L]`."""
    if axes == 2:
        return samples(low, x, 3)
    x = low.signal(x)
    _, rest = parted(low, x)
    sizes = [low.size(x, axis) for axis in rest]
    if len(sizes) != 2:
        raise low.refusal("it takes samples of 2 axes, [C, L]", "use the layer for images")
    return reshaped(low, x, (sizes[0], 1, sizes[1]))


def parted(low: Lowering, x: Signal) -> tuple[Axes, Axes]:
    """Return the axes of steps and batch, and those of a sample behind them."""
    number = sum(isinstance(axis, str) for axis in x.axes)
    heads, rest = x.axes[:number], x.axes[number:]
    if not heads or any(isinstance(axis, str) for axis in rest):
        why = "the axes of its input are not steps, batch, and those of a sample"
        raise low.refusal(why, "permute them to [T, B, ...] before")
    return heads, rest


def in_order(low: Lowering, x: Signal) -> Signal:
    """Return a value whose axes of samples are in order: where they are not, it is transposed."""
    heads, rest = parted(low, x)
    own = [axis for axis in rest if isinstance(axis, int)]
    if own == sorted(own):
        return x
    shape = low.folding.shape(x.layer)
    order = (*own, *(axis for axis in range(len(shape)) if axis not in own))

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Transpose(name=name, inputs=tuple(inputs), axes=order)]

    axes = (*heads, *(None if axis is None else order.index(axis) for axis in rest))  # type: ignore[arg-type]
    found = tuple(shape[axis] for axis in order)
    return low.folding.call("transpose", "", ("transpose", order), [x], found, make, axes=axes)


def reshaped(low: Lowering, x: Signal, shape: g.Shape) -> Signal:
    """Return a value whose samples have another shape, and all their axes in order."""
    x = in_order(low, x)
    heads, _ = parted(low, x)
    axes = (*heads, *range(len(shape)))
    if shape == low.folding.shape(x.layer):
        return replace(x, axes=axes)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        if len(shape) == 1:
            return [g.Flatten(name=name, inputs=tuple(inputs))]
        return [g.Reshape(name=name, inputs=tuple(inputs), to=shape)]

    where, kind = low.where
    plain = kind in ("Flatten", "Unflatten") or not kind
    where, kind = (where, kind) if plain else ("flatten" if len(shape) == 1 else "reshape", "")
    key = ("reshape", shape)
    return low.folding.call(where, kind, key, [x], shape, make, axes=axes)


def with_axis(low: Lowering, x: Any, dim: int) -> tuple[Signal, int]:
    """Return a value, and which axis of its samples an axis of the tensor is."""
    x = low.signal(x)
    if x.axes[dim] is None:
        x = samples(low, x)
    axis = x.axes[dim]
    if not isinstance(axis, int):
        why = f"it is over {'steps' if axis == 'T' else 'samples of the batch'}"
        raise low.refusal(why, ONE_STEP)
    return x, axis


def gathered(low: Lowering, x: Signal, axis: int, indices: list[int]) -> Signal:
    """Return the values at some places of an axis of samples."""
    shape = low.folding.shape(x.layer)
    if indices == list(range(shape[axis])):
        return x

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Gather(name=name, inputs=tuple(inputs), axis=axis, indices=tuple(indices))]

    key, found = ("gather", axis, tuple(indices)), list(shape)
    found[axis] = len(indices)
    return low.folding.call(low.name, "", key, [x], tuple(found), make, axes=x.axes)


def first_of(x: Signal, dim: int) -> Signal:
    """Return a value with an axis of its samples before the others."""
    heads = [axis for axis in x.axes if isinstance(axis, str)]
    rest = [axis for d, axis in enumerate(x.axes) if d != dim][len(heads) :]
    return replace(x, axes=(*heads, x.axes[dim], *rest))


def put_back(x: Signal, dim: int) -> Signal:
    """Return a value with the first axis of its samples at another place: undoes `first_of`."""
    axes = list(x.axes)
    first = axes.pop(sum(isinstance(axis, str) for axis in axes))
    axes.insert(dim, first)
    return replace(x, axes=tuple(axes))


def of_image(low: Lowering, x: Signal, axes: int, make: Make, **more: Any) -> Signal:
    """Return the value of a layer of images."""
    heads, _ = parted(low, x)
    shape = make("layer", [g.INPUT])[-1].shape([low.folding.shape(x.layer)])
    own: Axes = (0, 2) if axes == 1 else (0, 1, 2)
    return low.call([x], shape, make, axes=(*heads, *own), **more)


def padded(low: Lowering, x: Signal, before: tuple[int, int], behind: tuple[int, int]) -> Signal:
    """Return images with rows and columns of zeros around them."""

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Pad(name=name, inputs=tuple(inputs), before=before, behind=behind)]

    shape = make("pad", [g.INPUT])[0].shape([low.folding.shape(x.layer)])
    return low.folding.call("pad", "", ("pad", before, behind), [x], shape, make, axes=x.axes)


def picked(low: Lowering, x: Signal, axis: int, indices: list[int]) -> Signal:
    """Return the values at some places of an axis; features and channels by weights of 0 and 1,
    which NIR has too."""
    shape = low.folding.shape(x.layer)
    if axis != 0 or len(shape) not in (1, 3):
        return gathered(low, x, axis, indices)
    weight = np.eye(shape[0], dtype=np.float32)[indices]
    bias = np.zeros(len(indices), np.float32)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        arrays: dict[str, Any] = {"biases": (bias,), "of_step": (0,)}
        at: dict[str, Any] = {"name": name, "inputs": tuple(inputs)}
        if len(shape) == 1:
            return [g.Linear(**at, weights=(weight,), **arrays)]
        return [g.Conv(**at, weights=(weight[:, :, None, None],), **arrays)]

    key = ("pick", tuple(indices))
    found = (len(indices), *shape[1:])
    return low.folding.call(low.name, "", key, [x], found, make, axes=x.axes)


def concatenated(low: Lowering, parts: list[Any], dim: int) -> Signal:
    """Return values, of which some may be constants, side by side along an axis of samples."""
    own = [p if isinstance(p, Const) else samples(low, first_of(low.signal(p), dim)) for p in parts]
    signal = next(part for part in own if isinstance(part, Signal))
    axes, of_one = signal.axes, low.folding.shape(signal.layer)
    heads = len(axes) - len(of_one)
    moved = [p.tensor.movedim(dim, heads) if isinstance(p, Const) else p for p in own]
    shapes = [
        (part.shape[heads], *of_one[1:])
        if isinstance(part, Tensor)
        else low.folding.shape(part.layer)
        for part in moved
    ]
    if len({each[1:] for each in shapes}) > 1:
        raise low.refusal(f"its values have the shapes {shapes} in a sample", ONE_SHAPE)
    constants = [
        np.array(np.broadcast_to(of_sample(low, Const.of(part), shape, axes), shape))
        if isinstance(part, Tensor)
        else None
        for part, shape in zip(moved, shapes, strict=True)
    ]

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        source = next(each for each in inputs if isinstance(each, str))
        nodes: list[g.Node] = []
        names = list(inputs)
        for i, values in enumerate(constants):
            if isinstance(inputs[i], Const):
                assert values is not None
                names[i] = f"{name}.constant{i + 1}"
                nodes += constant_nodes(names[i], source, of_one, values)
        return [*nodes, g.Concat(name=name, inputs=tuple(names))]

    shape = (sum(each[0] for each in shapes), *of_one[1:])
    more = {"widths": tuple(each[0] for each in shapes)}
    return put_back(low.call(own, shape, make, axes=axes, **more), dim)


def constant_nodes(name: str, source: str, of_source: g.Shape, values: g.Array) -> list[g.Node]:
    """Return nodes whose value is the same for all samples, beside another value.

    Args:
        name: of the last node.
        source: the other value.
        of_source: the shape of its samples.
        values: of a sample, which differs from `of_source` in the first axis alone.
    """
    rows = values.reshape(len(values), -1)
    if len(of_source) in (1, 3) and (rows == rows[:, :1]).all():  # which NIR has too
        zeros = np.zeros((len(values), of_source[0]), np.float32)
        arrays: dict[str, Any] = {"biases": (rows[:, 0].copy(),), "of_step": (0,)}
        at: dict[str, Any] = {"name": name, "inputs": (source,)}
        if len(of_source) == 1:
            return [g.Linear(**at, weights=(zeros,), **arrays)]
        return [g.Conv(**at, weights=(zeros[:, :, None, None],), **arrays)]
    places = (0,) * len(values)
    beside = g.Gather(name=f"{name}.beside", inputs=(source,), axis=0, indices=places)
    tensor = torch.from_numpy(values)
    return [beside, traced(g.Dynamics, name, (beside.name,), lambda x: 0 * x + tensor, [], {}, 1)]


def by_channel(low: Lowering, constant: Const, shape: g.Shape, axes: Axes) -> g.Array | None:
    """Return a constant beside a value as one number, or one for each channel: `[1, C]`; None if it
    differs between pixels of one channel."""
    array = of_sample(low, constant, shape, axes)
    if array.size == 1:
        return array.reshape(1, 1)
    rows = np.broadcast_to(array, shape).reshape(shape[0], -1)
    return np.array(rows[:, 0][None]) if (rows == rows[:, :1]).all() else None


def of_sample(low: Lowering, constant: Const, shape: g.Shape, axes: Axes) -> g.Array:
    """Return a constant beside a value as it is beside a sample, of as many axes or of one number.

    Raises:
        ConfigError: it differs between samples or steps.
    """
    array = np.array(constant.tensor.detach().cpu().numpy(), np.float32)
    if array.size == 1:
        return array.reshape(1)
    if array.ndim > len(axes):
        raise low.refusal("its constant has more axes than the value beside it", ONE_STEP)
    array = array.reshape(*[1] * (len(axes) - array.ndim), *array.shape)
    for d, axis in enumerate(axes):
        if isinstance(axis, str) and not (array == array.take([0], d)).all():
            raise low.refusal("its constant differs between samples or steps", FROM_REST)
    array = array[tuple(0 if isinstance(axis, str) else slice(None) for axis in axes)]
    own = [axis for axis in axes if not isinstance(axis, str)]
    sizes = [shape[axis] if isinstance(axis, int) else 1 for axis in own]
    order = sorted(range(len(own)), key=lambda d: (own[d] is None, own[d]))
    return np.array(np.broadcast_to(array, sizes).transpose(order)).reshape(shape)


def operands_of(low: Lowering, *parts: Any) -> tuple[list[Signal | Const], g.Shape, Axes]:
    """Return operands, not all of them constant, with the shape and axes of the result."""
    given = [
        Const.of(torch.tensor(float(part))) if isinstance(part, int | float) else part
        for part in parts
    ]
    found: list[Signal | Const] = [
        part if isinstance(part, Const) else low.signal(part) for part in given
    ]
    signals = [part for part in found if isinstance(part, Signal)]
    rank = max(sum(not isinstance(axis, str) for axis in part.axes) for part in signals)
    wanted = _broadcast(low, found, rank)
    if not _are_alike(low, signals, wanted):
        found = [
            _expanded(low, samples(low, part, rank), wanted) if isinstance(part, Signal) else part
            for part in found
        ]
        signals = [part for part in found if isinstance(part, Signal)]
    shape = low.folding.shape(signals[0].layer)
    found, axes = aligned(low, found)
    for part in found:
        if isinstance(part, Const):
            of_sample(low, part, shape, axes)  # it fits
    return found, shape, axes


def aligned(low: Lowering, given: list[Any]) -> tuple[list[Signal | Const], Axes]:
    """Return values for one layer, with its axes: an image beside all steps is one of each."""
    signals = [part for part in given if isinstance(part, Signal)]
    axes = max((part.axes for part in signals), key=len)
    for part in signals:
        missing = tuple(axis for axis in axes if axis != "T")
        if part.axes not in (axes, missing):
            raise low.refusal("its two values have their axes in another order", "permute one")
    if {part.step == ALL for part in signals} == {True, False}:
        given = [
            replace(part, step=ALL, axes=axes)
            if isinstance(part, Signal) and part.step is None
            else part
            for part in given
        ]
    return given, axes


def _broadcast(low: Lowering, given: list[Signal | Const], rank: int) -> g.Shape:
    """Return the shape of a sample of what values, and constants, make together."""
    shapes = []
    for part in given:
        if isinstance(part, Const):
            shapes.append(tuple(part.tensor.shape)[-rank:] if rank else ())
        else:
            _, rest = parted(low, part)
            shapes.append(tuple(low.size(part, axis) for axis in rest))
    return np.broadcast_shapes(*shapes)


def _are_alike(low: Lowering, signals: list[Signal], wanted: g.Shape) -> bool:
    """Return whether the samples of values have the same axes, of the sizes of the result."""
    rests = {tuple(axis for axis in part.axes if not isinstance(axis, str)) for part in signals}
    shapes = {low.folding.shape(part.layer) for part in signals}
    if len(rests) > 1 or len(shapes) > 1:
        return False
    return tuple(low.size(signals[0], axis) for axis in rests.pop()) == wanted


def _expanded(low: Lowering, x: Signal, wanted: g.Shape) -> Signal:
    """Return a value whose samples are as large as those of another: an axis of size 1 is
    repeated."""
    for axis, (own, size) in enumerate(zip(low.folding.shape(x.layer), wanted, strict=True)):
        if own != size:
            x = gathered(low, x, axis, [0] * size)
    return x
