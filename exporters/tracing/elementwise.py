"""Functions of each value by itself, as one node of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.equations import traced
from .samples import of_sample, two_operands
from .values import Const, Reduced, Signal, State

if TYPE_CHECKING:
    from .lowering import Lowering


def node_of(name: str, inputs: list[str], function: Callable[..., Any]) -> g.Node:
    """Return the node of a function of torch, of one step."""
    return traced(g.Dynamics, name, tuple(inputs), function, [], {}, 1)


def of_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator of a function of one value, and of numbers."""

    def operator(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
        x = low.signal(x)

        def make(name: str, inputs: list[Any]) -> list[g.Node]:
            return [node_of(name, inputs, lambda value: function(value, *args, **kwargs))]

        try:
            make("function", [g.INPUT])
        except ConfigError as error:
            raise low.refusal(error.what, error.remedy) from error
        return low.call([x], low.folding.shape(x.layer), make, axes=x.axes)

    return operator


def of_two(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator of a function of two values, one of which may be a constant."""

    def operator(low: Lowering, x: Any, y: Any) -> Any:
        inputs, shape, axes = two_operands(low, x, y)

        def make(name: str, given: list[Any]) -> list[g.Node]:
            return [with_constant(low, name, given, function, shape, axes)]

        return low.call(inputs, shape, make, axes=axes)

    return operator


def with_constant(
    low: Lowering, name: str, given: list[Any], function: Callable[..., Any], shape: Any, axes: Any
) -> g.Node:
    """Return the node of a function of two operands, of which constants are of any shape."""
    sources = [each for each in given if not isinstance(each, Const)]
    tensors = [
        torch.from_numpy(of_sample(low, each, shape, axes)) if isinstance(each, Const) else None
        for each in given
    ]

    def of_sources(*values: Any) -> Any:
        rest = iter(values)
        return function(*(next(rest) if tensor is None else tensor for tensor in tensors))

    return node_of(name, sources, of_sources)


def is_value(x: Any) -> bool:
    """Return whether something is a value that depends on the input."""
    return isinstance(x, Signal | State | Reduced)


def _leaky_relu(x: Any, slope: float = 0.01) -> Any:
    return x.clamp(min=0) + slope * x.clamp(max=0)


def _elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * (x.clamp(min=0) + alpha * ((input_scale * x.clamp(max=0)).exp() - 1))


def _hardsigmoid(x: Any) -> Any:
    return (x / 6 + 0.5).clamp(min=0, max=1)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "sigmoid": of_one(torch.sigmoid),
    "abs": of_one(torch.abs),
    "exp": of_one(torch.exp),
    "log": of_one(torch.log),
    "sqrt": of_one(torch.sqrt),
    "reciprocal": of_one(torch.reciprocal),
    "square": of_one(torch.square),
    "pow": of_one(torch.pow),
    "clamp": of_one(torch.clamp),
    "clamp_min": of_one(torch.clamp_min),
    "clamp_max": of_one(torch.clamp_max),
    "hardtanh": of_one(lambda x, low=-1.0, high=1.0: x.clamp(min=low, max=high)),
    "relu6": of_one(lambda x: x.clamp(min=0, max=6)),
    "leaky_relu": of_one(_leaky_relu),
    "elu": of_one(_elu),
    "selu": of_one(lambda x: _elu(x, 1.6732632423543772, 1.0507009873554805)),
    "silu": of_one(lambda x: x * torch.sigmoid(x)),
    "hardsigmoid": of_one(_hardsigmoid),
    "hardswish": of_one(lambda x: x * _hardsigmoid(x)),
    "minimum": of_two(torch.minimum),
    "maximum": of_two(torch.maximum),
}
