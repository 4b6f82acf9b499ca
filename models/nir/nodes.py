"""Nodes of NIR as modules of torch, each of what a recipe says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from .layers import Conv1d, Delay, Flatten, Scale, SumPool2d, Threshold
from .neuron import FIELDS, NirNeuron
from .semantics import Semantics

ARRAYS = {
    **FIELDS,
    "Linear": ("weight",),
    "Affine": ("weight", "bias"),
    "Conv1d": ("weight", "bias"),
    "Conv2d": ("weight", "bias"),
    "Scale": ("scale",),
    "Threshold": ("threshold",),
    "Delay": ("delay",),
}
"""The arrays of each type of node, which are tensors of the network; a recipe has their shapes."""

WINDOWS = {
    "Conv1d": ("stride", "padding", "dilation", "groups"),
    "Conv2d": ("stride", "padding", "dilation", "groups"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
    "Input": ("shape",),
    "Output": (),
}
"""The other fields of each type of node: numbers of a recipe."""

MAX_AXES = 8
MAX_SIZE = 1 << 31

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Setting:
    """What all nodes of a network share.

    Attributes:
        dt: length of a step in seconds.
        semantics: what the file leaves open.
        surrogate: of the derivative of spikes.
    """

    dt: float
    semantics: Semantics
    surrogate: str = "sigmoid"


def check_node(name: str, node: Mapping[str, Any]) -> None:
    """Refuse a node that a recipe does not describe completely.

    Raises:
        ConfigError: an unknown type, or other fields than those of the type.
    """
    kind = node.get("type")
    if kind not in {**ARRAYS, **WINDOWS}:
        raise unknown(f"type of the node {name!r}", kind, sorted({**ARRAYS, **WINDOWS}))
    expected = {"type", *ARRAYS.get(kind, ()), *WINDOWS.get(kind, ())}
    if set(node) != expected:
        raise ConfigError(
            f"the {kind} {name!r} has the fields {', '.join(sorted(set(node) - {'type'}))}",
            why=f"it needs {', '.join(sorted(expected - {'type'}))}",
        )
    for field in sorted(expected - {"type"}):
        value, array = node[field], field in ARRAYS.get(kind, ())
        least = {"padding": 0, "start_dim": -MAX_AXES, "end_dim": -MAX_AXES}.get(field, 1)
        numbers = value if isinstance(value, list) else [value]
        whole = all(type(each) is int and least <= each <= MAX_SIZE for each in numbers)
        is_list = isinstance(value, list) or not (array or field == "shape")
        if not (whole and is_list and bool(numbers) >= (not array) and len(numbers) <= MAX_AXES):
            raise ConfigError(
                f"{field} of the {kind} {name!r} is {value!r}",
                why="it is the shape of an array" if array else f"its numbers are {least} or more",
            )


def module_of(
    name: str, node: Mapping[str, Any], shape: Shape, setting: Setting, *, looped: bool = False
) -> nn.Module:
    """Return a node as a layer `[T, B, ...] -> [T, B, ...]` for samples of `shape`.

    Args:
        name: of the node.
        node: its type, windows, and the shapes of its arrays.
        shape: of a sample at one step.
        setting: what all nodes share.
        looped: whether the node is in a loop.

    Raises:
        ConfigError: it does not take samples of this shape.
    """
    kind: str = node["type"]
    match kind:
        case "Linear" | "Affine":
            outputs, inputs = _sizes(name, node, 2)
            _require(name, kind, shape[-1:] == (inputs,), shape, f"{inputs} features")
            return OverTime(nn.Linear(inputs, outputs, bias=kind == "Affine"))
        case "Conv1d" | "Conv2d":
            found = _convolution(name, node, shape)
            return Conv1d(found, shape[1]) if isinstance(found, nn.Conv1d) else OverTime(found)
        case "AvgPool2d":
            _require(name, kind, len(shape) == 3, shape, "images")
            kernel, stride, padding = (_pair(node[key]) for key in WINDOWS[kind])
            return OverTime(nn.AvgPool2d(kernel, stride, padding))
        case "SumPool2d":
            _require(name, kind, len(shape) == 3, shape, "images")
            return SumPool2d(shape[0], *(_pair(node[key]) for key in WINDOWS[kind]))
        case "Flatten":
            start, end = (
                i if i < 0 else i - len(shape) for i in (node["start_dim"], node["end_dim"])
            )
            fits = -len(shape) <= start <= end < 0
            _require(name, kind, fits, shape, f"axes {node['start_dim']} to {node['end_dim']}")
            return Flatten(start, end, shape)
        case "Scale":
            return Scale(_of_sample(name, node, "scale", shape))
        case "Threshold":
            level = _of_sample(name, node, "threshold", shape)
            return SpikingLayer(None, Threshold(level, surrogate=setting.surrogate))
        case "Delay":
            return Delay(_of_sample(name, node, "delay", shape), dt=setting.dt)
    shapes = {field: _of_sample(name, node, field, shape) for field in FIELDS[kind]}
    neuron = NirNeuron(
        kind,
        shapes,
        dt=setting.dt,
        semantics=setting.semantics,
        looped=looped,
        surrogate=setting.surrogate,
    )
    return SpikingLayer(None, neuron) if neuron.spiking else neuron


def _convolution(name: str, node: Mapping[str, Any], shape: Shape) -> nn.Module:
    """Return a convolution with the windows of the node."""
    axes = 1 if node["type"] == "Conv1d" else 2
    outputs, of_group, *kernel = _sizes(name, node, axes + 2)
    groups = int(node["groups"])
    channels = of_group * groups
    _require(
        name,
        node["type"],
        len(shape) == axes + 1 and shape[0] == channels,
        shape,
        f"{channels} channels with {axes} {'axis' if axes == 1 else 'axes'}",
    )
    stride, padding, dilation = (
        tuple(_pair(node[key])[:axes]) for key in ("stride", "padding", "dilation")
    )
    build: Any = nn.Conv1d if axes == 1 else nn.Conv2d
    try:
        return build(channels, outputs, tuple(kernel), stride, padding, dilation, groups)
    except ValueError as error:
        raise ConfigError(
            f"the {node['type']} {name!r} is no convolution", why=str(error)
        ) from error


def shape_after(name: str, module: nn.Module, shape: Shape) -> Shape:
    """Return the shape of a sample after a layer.

    Raises:
        ConfigError: the layer does not take samples of this shape.
    """
    if isinstance(module, NirNeuron | SpikingLayer | Scale | Delay):
        return shape
    with torch.no_grad():
        try:
            device = next((p.device for p in module.parameters()), torch.empty(0).device)
            return tuple(module(torch.zeros(1, 1, *shape, device=device)).shape[2:])
        except RuntimeError as error:
            raise ConfigError(
                f"the node {name!r} does not take samples of the shape {list(shape)}",
                why=next(iter(str(error).splitlines()), ""),
            ) from error


def _of_sample(name: str, node: Mapping[str, Any], field: str, shape: Shape) -> Shape:
    """Return the shape of an array that has a value for each value of a sample, or one for all."""
    found = tuple(node[field])
    if found == shape or set(found) <= {1}:
        return found
    raise ConfigError(
        f"{field} of the {node['type']} {name!r} has the shape {list(found)}",
        why=f"its samples have the shape {list(shape)}",
        remedy="write one value for each of them, or one for all",
    )


def _sizes(name: str, node: Mapping[str, Any], axes: int) -> list[int]:
    found = list(node["weight"])
    if len(found) != axes:
        raise ConfigError(f"the weight of the {node['type']} {name!r} has the shape {found}")
    return found


def _pair(value: Any) -> tuple[int, int]:
    values = [int(each) for each in value] if isinstance(value, list | tuple) else [int(value)]
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _require(name: str, kind: str, fits: bool, shape: Shape, expected: str) -> None:
    if not fits:
        raise ConfigError(
            f"the {kind} {name!r} takes {expected}", why=f"its samples have the shape {list(shape)}"
        )
