"""Functions and methods in a traced forward, as nodes of the graph."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ...core.errors import ConfigError
from ..graph import ir as g
from .values import BATCH, REST, SIZE, Membrane, NeuronOutput, Signal, Stack

if TYPE_CHECKING:
    from .tracing import FxLowering

KNOWN = "+, torch.stack, flatten, view, F.max_pool2d, F.avg_pool2d and F.dropout"


def call(lowering: FxLowering, target: Any, args: Any, kwargs: Any) -> Any:
    """Return the value of a function, or of a method, for which `target` is the name.

    Raises:
        ConfigError: the graph has no node for it.
    """
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    handler = (METHODS if isinstance(target, str) else FUNCTIONS).get(target)
    if handler is None:
        raise _refusal(name, "the graph has no such layer")
    try:
        inspect.signature(handler).bind(lowering, *args, **kwargs)
    except TypeError as error:
        raise _refusal(name, str(error)) from None
    return handler(lowering, *args, **kwargs)


def _refusal(name: str, why: str, remedy: str = "") -> ConfigError:
    remedy = remedy or f"use the layers that the documentation lists, {KNOWN}"
    return ConfigError(f"{name} in the forward cannot be exported", why=why, remedy=remedy)


def _getitem(lowering: FxLowering, value: Any, index: Any) -> Any:
    if isinstance(value, NeuronOutput) and index in (0, 1, -1, -2):
        return (value.spikes, value.membrane)[index]
    if value is SIZE and index == 0:
        return BATCH
    if value == Signal(g.INPUT, None) and isinstance(index, int) and index >= 0:
        lowering.reads_steps = True
        return Signal(g.INPUT, index)
    if isinstance(value, tuple | list | dict):
        return value[index]
    raise _refusal(f"[{index!r}]", "it selects a part of a value")


def _add(lowering: FxLowering, x: Any, y: Any, *, alpha: Any = 1) -> Any:
    for value, other in ((x, y), (y, x)):
        if isinstance(value, int | float) and value == 0:
            return other  # the start value of Python's sum
    if not (isinstance(x, Signal) and isinstance(y, Signal)) or alpha != 1:
        raise _refusal("+", "the graph adds the values of two layers only")
    shapes = lowering.shapes[x.name], lowering.shapes[y.name]
    if shapes[0] != shapes[1]:
        raise _refusal("+", f"the two values have the shapes {shapes[0]} and {shapes[1]}")
    pair = (x.name, y.name)
    return lowering.add("add", None, "add", [x, y], lambda name: g.Add(name=name, inputs=pair))


def _flatten(lowering: FxLowering, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    x = _signal("flatten", x)
    layer = nn.Flatten(start_dim, end_dim)
    return lowering.layer("flatten", layer, x, ("flatten", start_dim, end_dim))


def _view(lowering: FxLowering, x: Any, *shape: Any) -> Any:
    x = _signal("view", x)
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    features = 1
    for size in lowering.shapes[x.name]:
        features *= size
    if len(sizes) == 2 and (
        (sizes[0] is BATCH and sizes[1] in (-1, features))
        or (sizes[0] == -1 and sizes[1] == features)
    ):
        return _flatten(lowering, x, 1)
    shown = ", ".join("B" if size is BATCH else str(size) for size in sizes)
    why = f"view({shown}) does not flatten samples of {features} values"
    raise _refusal("view", why, "use flatten(1)")


def _size(lowering: FxLowering, x: Any, dim: int | None = None) -> Any:
    if isinstance(x, Signal) and dim in (None, 0):
        return SIZE if dim is None else BATCH
    raise _refusal("size", "only size(0), the batch size, may be read", "write the number")


def _getattr(lowering: FxLowering, x: Any, name: str) -> Any:
    if isinstance(x, Signal) and name == "shape":
        return SIZE
    raise _refusal(f".{name}", "it is not a layer")


def _stack(lowering: FxLowering, tensors: Any, dim: int = 0) -> Any:
    parts = list(tensors)
    order = list(range(len(parts)))
    if dim == 0 and parts and all(isinstance(part, Signal | Membrane) for part in parts):
        kinds = {part.name if isinstance(part, Signal) else part.neuron for part in parts}
        kinds |= {type(part) for part in parts}
        if len(kinds) == 2 and [part.step for part in parts] == order:
            signal = isinstance(parts[0], Signal)
            return Stack(parts[0].name if signal else None, len(parts))
    why = "it does not stack the values of one layer over all steps, in order, along axis 0"
    raise _refusal("torch.stack", why, "give a module whose forward makes one time step")


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
    torch.flatten: _flatten,
    torch.reshape: _view,
    getattr: _getattr,
    torch.stack: _stack,
    torch.zeros_like: _rest,
    F.dropout: _dropout,
    F.max_pool2d: _max_pool2d,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
}
METHODS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "add_": _add,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "size": _size,
    "contiguous": _same,
    "detach": _same,
    "float": _same,
}
