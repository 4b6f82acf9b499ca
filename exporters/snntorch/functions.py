"""Functions and methods in a traced forward, as nodes of the graph."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from ...core.errors import ConfigError
from ..graph import ir as g
from .values import (
    ALL,
    BATCH,
    REST,
    TIME,
    TIMES_BATCH,
    Membrane,
    NeuronOutput,
    Reduced,
    Signal,
    Stack,
    Unsqueezed,
)

if TYPE_CHECKING:
    from .lowering import FxLowering

KNOWN = "+, torch.stack, flatten, unflatten, view, F.max_pool2d, F.avg_pool2d and F.dropout"


def call(lowering: FxLowering, target: Any, args: Any, kwargs: Any) -> Any:
    """Return the value of a function, or of a method, for which `target` is the name.

    Raises:
        ConfigError: the graph has no node for it.
    """
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    if isinstance(target, type) and issubclass(target, tuple):
        return target(*args, **kwargs)  # the state of a neuron of asnn before the first step
    handler = METHODS.get(target) if isinstance(target, str) else FUNCTIONS.get(target)
    if handler is None:
        raise _refusal(name, "the graph has no such layer")
    try:
        inspect.signature(handler).bind(lowering, *args, **kwargs)
    except TypeError as error:
        raise _refusal(name, str(error)) from None
    try:
        return handler(lowering, *args, **kwargs)
    except ConfigError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as error:  # such as an axis too far
        raise _refusal(name, f"{type(error).__name__}: {error}") from None


def _refusal(name: str, why: str, remedy: str = "") -> ConfigError:
    remedy = remedy or (
        f"use the layers that the documentation lists, {KNOWN}, or give the module that computes "
        "it a method lower(graph, name), see 'A neuron' in CONTRIBUTING.md"
    )
    return ConfigError(f"{name} in the forward cannot be exported", why=why, remedy=remedy)


def _getitem(lowering: FxLowering, value: Any, index: Any) -> Any:
    if isinstance(value, NeuronOutput) and index in (0, 1, -1, -2):
        return (value.spikes, value.membrane)[index]
    if index is None:
        return _unsqueeze(lowering, value, 0)
    if isinstance(value, Signal) and isinstance(index, int) and index >= 0:
        if value == Signal(g.INPUT, None) or value == lowering.image:
            lowering.reads_steps = True
            return Signal(g.INPUT, index)
        if value.step == ALL and not value.merged:
            return replace(value, step=index)
    if isinstance(value, tuple | list | dict):
        return value[index]
    if isinstance(value, Signal) and value.step == ALL and not value.merged and index == -1:
        return Reduced(value, "last")
    raise _refusal(f"[{index!r}]", "it selects a part of a value")


def _add(lowering: FxLowering, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    for value, other in ((x, y), (y, x)):
        if isinstance(value, int | float) and value == 0:
            return other  # the start value of Python's sum
    if not (isinstance(x, Signal) and isinstance(y, Signal)) or alpha != 1:
        raise _refusal("+", "the graph adds the values of two layers only")
    if isinstance(x.step, int) and isinstance(y.step, int) and x.step != y.step:
        why = "it adds values of two time steps"
        raise _refusal("+", why, "collect the steps in a list; return torch.stack(steps).sum(0)")
    shapes = lowering.shapes[x.name], lowering.shapes[y.name]
    if shapes[0] != shapes[1]:
        raise _refusal("+", f"the two values have the shapes {shapes[0]} and {shapes[1]}")
    pair = (x.name, y.name)
    return lowering.add("add", None, "add", [x, y], lambda name: g.Add(name=name, inputs=pair))


def flatten(lowering: FxLowering, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Flatten samples, or merge the steps of `[T, B, ...]` with the batch."""
    x = _signal("flatten", x)
    if x.step != ALL or x.merged:
        layer = nn.Flatten(start_dim, end_dim)
        return lowering.layer("flatten", layer, x, ("flatten", start_dim, end_dim))
    if (start_dim, end_dim) == (0, 1):
        return replace(x, merged=True)
    if start_dim != 2 or end_dim not in (-1, 1 + len(lowering.shapes[x.name])):
        why = "it flattens neither complete samples nor steps with the batch"
        raise _refusal("flatten", why, "flatten [T, B, ...] with flatten(2), or with flatten(0, 1)")
    return replace(flatten(lowering, replace(x, merged=True), 1), merged=False)


def unflatten(lowering: FxLowering, x: Any, dim: int, sizes: Any) -> Any:
    """Split `[T·B, ...]` into `[T, B, ...]`."""
    x = _signal("unflatten", x)
    if not (x.merged and dim == 0 and _are_steps(sizes)):
        why = "it does not restore the steps of [T·B, ...]"
        raise _refusal("unflatten", why, "use unflatten(0, (T, -1))")
    return replace(x, merged=False)


def _are_steps(sizes: Any) -> bool:
    """Return whether two sizes are those of steps and batch."""
    return (
        len(sizes) == 2
        and (sizes[0] in (TIME, -1) or isinstance(sizes[0], int))
        and sizes[1] in (BATCH, -1)
        and tuple(sizes) != (-1, -1)
    )


def _view(lowering: FxLowering, x: Any, *shape: Any) -> Any:
    x = _signal("view", x)
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    sample = lowering.shapes[x.name]
    by_time = x.step == ALL
    for lead in (1, 2) if by_time else (1,):
        first, rest = tuple(sizes[:lead]), tuple(sizes[lead:])
        batch = (-1, TIMES_BATCH) if by_time else (-1, BATCH)
        if not (_are_steps(first) if lead == 2 else first and first[0] in batch):
            continue
        same = rest == sample
        if not same and (rest not in ((-1,), (prod(sample),)) or (-1 in first and -1 in rest)):
            continue
        flat = x if same else flatten(lowering, replace(x, merged=by_time), 1)
        return replace(flat, merged=by_time and lead == 1)
    shown = ", ".join(size.name if hasattr(size, "name") else str(size) for size in sizes)
    why = f"view({shown}) does not flatten samples of {prod(sample)} values"
    raise _refusal("view", why, "use flatten(2) of [T, B, ...]" if by_time else "use flatten(1)")


def _size(lowering: FxLowering, x: Any, dim: int | None = None) -> Any:
    sizes = _getattr(lowering, x, "shape")
    return sizes if dim is None else sizes[dim]


def _getattr(lowering: FxLowering, x: Any, name: str) -> Any:
    if isinstance(x, Signal) and name == "shape":
        first = (TIMES_BATCH,) if x.merged else (TIME, BATCH) if x.step == ALL else (BATCH,)
        return (*first, *lowering.shapes[x.name])
    if isinstance(x, Membrane) and name == "v":
        return x
    raise _refusal(f".{name}", "it is not a layer")


def _mul(lowering: FxLowering, x: Any, y: Any) -> Any:
    if (x, y) in ((TIME, BATCH), (BATCH, TIME)):
        return TIMES_BATCH
    raise _refusal("mul", "the graph has no such layer")


def _div(lowering: FxLowering, x: Any, y: Any) -> Any:
    if isinstance(x, Reduced) and x.kind == "sum":
        raise _refusal("/", "the graph has no such layer", "use .mean(0) instead of .sum(0) / T")
    raise _refusal("/", "the graph has no such layer")


def _stack(lowering: FxLowering, tensors: Any, dim: int = 0) -> Any:
    parts = list(tensors)
    first = parts[0] if dim == 0 and parts else None
    if isinstance(first, Signal) and first.step is None and parts == [first] * len(parts):
        return _all_steps(lowering, first, len(parts))
    order = list(range(len(parts)))
    if dim == 0 and parts and all(isinstance(part, Signal | Membrane) for part in parts):
        kinds = {part.name if isinstance(part, Signal) else part.neuron for part in parts}
        kinds |= {type(part) for part in parts}
        if len(kinds) == 2 and [part.step for part in parts] == order:
            lowering.fixed.add(len(parts))
            signal = isinstance(parts[0], Signal)
            return replace(parts[0], step=ALL) if signal else Stack(len(parts))
    why = "it does not stack the values of one layer over all steps, in order, along axis 0"
    raise _refusal("torch.stack", why, "give a module whose forward makes one time step")


def _all_steps(lowering: FxLowering, image: Signal, steps: int) -> Signal:
    """Return an image as all steps, the same at each."""
    lowering.step_of("repeat", [image])
    lowering.fixed.add(steps)
    return replace(image, step=ALL)


def _unsqueeze(lowering: FxLowering, x: Any, dim: int) -> Any:
    if isinstance(x, Signal) and x.step is None and dim == 0:
        return Unsqueezed(x)
    why = "it does not add the axis of the steps to an image"
    raise _refusal("unsqueeze", why, "use x.unsqueeze(0).repeat(T, 1, ...)")


def _repeat(lowering: FxLowering, x: Any, *shape: Any) -> Any:
    """Repeat or expand an image over the steps."""
    sizes = tuple(shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape)
    image = x.image if isinstance(x, Unsqueezed) else x
    if isinstance(image, Signal) and image.step is None:
        sample = lowering.shapes[image.name]
        same = all(
            size in (-1, 1, own) or size is own
            for size, own in zip(sizes[1:], (BATCH, *sample), strict=False)
        )
        steps = sizes[0] if sizes else None
        if isinstance(steps, int) and steps > 0 and len(sizes) == 2 + len(sample) and same:
            return _all_steps(lowering, image, steps)
    why = "it does not repeat an image over the steps"
    raise _refusal("repeat or expand", why, "use x.unsqueeze(0).repeat(T, 1, ...)")


def _reduced(kind: Literal["mean", "sum"]) -> Callable[..., Any]:
    """Return the handler of a mean or sum over the steps, which the output of a network may be."""

    def reduced(lowering: FxLowering, x: Any, dim: Any = None) -> Any:
        if isinstance(x, Signal) and x.step == ALL and not x.merged and dim in (0, (0,), [0]):
            return Reduced(x, kind)
        why = "the graph has no such layer but over all steps, along axis 0"
        raise _refusal(kind, why, "use nn.AvgPool2d for a mean of pixels")

    return reduced


def _dropout(
    lowering: FxLowering, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    if training and p > 0:
        why = "it is random in evaluation mode too, with training=True, its default"
        raise _refusal("dropout", why, "use nn.Dropout, or training=self.training")
    return _signal("dropout", x)


def _max_pool2d(
    lowering: FxLowering,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    layer = nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
    return lowering.layer("max_pool2d", layer, _signal("max_pool2d", x), repr(layer))


def _avg_pool2d(lowering: FxLowering, x: Any, *args: Any, **kwargs: Any) -> Any:
    layer = nn.AvgPool2d(*args, **kwargs)
    key = (repr(layer), layer.ceil_mode, layer.count_include_pad, layer.divisor_override)
    return lowering.layer("avg_pool2d", layer, _signal("avg_pool2d", x), key)


def _adaptive_avg_pool2d(lowering: FxLowering, x: Any, output_size: Any) -> Any:
    layer = nn.AdaptiveAvgPool2d(output_size)
    name = "adaptive_avg_pool2d"
    return lowering.layer(name, layer, _signal(name, x), repr(layer))


def _same(lowering: FxLowering, x: Any) -> Any:
    return x


def _unbind(lowering: FxLowering, x: Any, dim: int = 0) -> Any:
    if x == Signal(g.INPUT, ALL) and dim == 0:
        return x  # its steps are selected one by one
    raise _refusal("unbind", "it selects parts of a value")


def _rest(lowering: FxLowering, x: Any) -> Any:
    return REST


def _signal(name: str, x: Any) -> Signal:
    if isinstance(x, Signal):
        return x
    raise _refusal(name, "its input is not the value of one layer")


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    operator.getitem: _getitem,
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    operator.mul: _mul,
    operator.truediv: _div,
    torch.flatten: flatten,
    torch.unflatten: unflatten,
    torch.reshape: _view,
    torch.unsqueeze: _unsqueeze,
    torch.mean: _reduced("mean"),
    torch.sum: _reduced("sum"),
    getattr: _getattr,
    torch.stack: _stack,
    torch.unbind: _unbind,
    torch.zeros_like: _rest,
    F.dropout: _dropout,
    F.max_pool2d: _max_pool2d,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
}
METHODS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "add_": _add,
    "flatten": flatten,
    "unflatten": unflatten,
    "view": _view,
    "reshape": _view,
    "unsqueeze": _unsqueeze,
    "repeat": _repeat,
    "expand": _repeat,
    "mean": _reduced("mean"),
    "sum": _reduced("sum"),
    "size": _size,
    "unbind": _unbind,
    "contiguous": _same,
    "detach": _same,
    "float": _same,
}
