"""Samples of values: as layers take them, joined, picked, and in other shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..graph import ir as g
from .calls import ONE_STEP
from .folding import Make
from .kinds import refusal
from .values import ALL, Axes, Const, Signal

if TYPE_CHECKING:
    from .lowering import Lowering


FROM_REST = (
    "use one that does not; if it is a state that a call has left, begin the forward with zeros, "
    "mem = torch.zeros_like(x)"
)
ONE_SHAPE = "give both the same number of features, or channels and pixels"


def samples(low: Lowering, x: Any, rank: int | None = None) -> Signal:
    """Return a value whose samples have all their axes, in order, behind steps and batch."""
    x = low.signal(x)
    _, rest = parted(low, x)
    shape = tuple(low.size(x, axis) for axis in rest)
    if rank is not None and len(shape) != rank:
        raise low.refusal(
            f"it takes samples of {rank} axes, not {list(shape)}", "flatten them before"
        )
    if rest == tuple(range(len(low.folding.shape(x.layer)))):
        return x
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
    image = (sizes[0], 1, sizes[1])
    if low.folding.shape(x.layer) == image and rest == (0, 2):
        return x
    return reshaped(low, x, image)


def parted(low: Lowering, x: Signal) -> tuple[Axes, Axes]:
    """Return the axes of steps and batch, and those of a sample behind them."""
    number = sum(isinstance(axis, str) for axis in x.axes)
    heads, rest = x.axes[:number], x.axes[number:]
    own = [axis for axis in rest if isinstance(axis, int)]
    if not heads or any(isinstance(axis, str) for axis in rest) or own != sorted(own):
        why = "the axes of its input are not steps, batch, and those of a sample in order"
        raise low.refusal(why, "permute them to [T, B, ...] before")
    return heads, rest


def reshaped(low: Lowering, x: Signal, shape: g.Shape) -> Signal:
    """Return a value whose samples have another shape."""
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


def of_image(low: Lowering, x: Signal, axes: int, make: Make, **more: Any) -> Signal:
    """Return the value of a layer of images."""
    heads, _ = parted(low, x)
    shape = make("layer", [g.INPUT])[-1].shape([low.folding.shape(x.layer)])
    own: Axes = (0, 2) if axes == 1 else (0, 1, 2)
    return low.call([x], shape, make, axes=(*heads, *own), **more)


def padded(low: Lowering, x: Signal, behind: tuple[int, int]) -> Signal:
    """Return images with rows and columns of zeros below and to the right."""

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        return [g.Pad(name=name, inputs=tuple(inputs), before=(0, 0), behind=behind)]

    channels, height, width = low.folding.shape(x.layer)
    shape, key = (channels, height + behind[0], width + behind[1]), ("pad", behind)
    return low.folding.call("pad", "", key, [x], shape, make, axes=x.axes)


def picked(low: Lowering, x: Signal, axis: int, indices: list[int]) -> Signal:
    """Return some features or channels, by weights of 0 and 1."""
    x = samples(low, x) if x.axes[-1:] != (axis,) else x
    shape = low.folding.shape(x.layer)
    if axis != 0 or len(shape) not in (1, 3):
        raise low.refusal("it selects a part of a value", "select whole channels, or features")
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


def concatenated(low: Lowering, parts: list[Any]) -> Signal:
    """Return the channels, or features, of several values."""
    given = [part if isinstance(part, Const) else samples(low, part) for part in parts]
    first = next(part for part in given if isinstance(part, Signal))
    rank = len(low.folding.shape(first.layer))
    shapes = [
        tuple(part.tensor.shape[-rank:])
        if isinstance(part, Const)
        else low.folding.shape(part.layer)
        for part in given
    ]
    shape = (sum(each[0] for each in shapes), *shapes[0][1:])
    if len({each[1:] for each in shapes}) > 1:
        raise low.refusal(f"its values have the shapes {shapes} in a sample", ONE_SHAPE)

    def make(name: str, inputs: list[Any]) -> list[g.Node]:
        if any(isinstance(each, Const) for each in inputs):
            raise refusal(name, "cat", "it joins a constant", "use a layer with a bias instead")
        return [g.Concat(name=name, inputs=tuple(inputs))]

    more = {"widths": tuple(each[0] for each in shapes)}
    return low.call(given, shape, make, axes=first.axes, **more)


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
    first = max(signals, key=lambda part: len(part.axes))
    axes = first.axes
    rank = sum(not isinstance(axis, str) for axis in axes)
    if len(signals) > 1 or any(axis is None for axis in axes):
        found = [samples(low, part, rank) if isinstance(part, Signal) else part for part in found]
        signals = [part for part in found if isinstance(part, Signal)]
        axes = max((part.axes for part in signals), key=len)
    shapes = {low.folding.shape(part.layer) for part in signals}
    if len(shapes) > 1:
        shown = " and ".join(str(list(shape)) for shape in shapes)
        raise low.refusal(f"its values have the shapes {shown} in a sample", ONE_SHAPE)
    for part in signals:
        missing = tuple(axis for axis in axes if axis != "T")
        if part.axes not in (axes, missing):
            raise low.refusal("its values have their axes in another order", "permute one")
    if {part.step == ALL for part in signals} == {True, False}:
        found = [
            replace(part, step=ALL, axes=axes)
            if isinstance(part, Signal) and part.step is None
            else part
            for part in found
        ]
    shape = shapes.pop()
    for part in found:
        if isinstance(part, Const):
            of_sample(low, part, shape, axes)  # it fits
    return found, shape, axes
