"""Functions of each value by itself, as one node of the graph.

Comparisons are spikes, 1.0 or 0.0; so are booleans, which torch has of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ...core.errors import ConfigError
from ..graph import ir as g
from ..graph.equations import traced
from .folding import Elementwise
from .samples import of_sample, operands_of
from .values import Axes, Const, Reduced, Signal, State

if TYPE_CHECKING:
    from .lowering import Lowering


def node_of(name: str, operands: list[Any], function: Elementwise) -> g.Node:
    """Return the node of a function of one step, given names of nodes and constants."""
    sources = tuple(each for each in operands if not isinstance(each, Const))

    def step(*values: Any) -> Any:
        rest = iter(values)
        return function(*(x if isinstance(x, Const) else next(rest) for x in operands))

    return spikes_or_values(traced(g.Dynamics, name, sources, step, [], {}, 1))


def spikes_or_values(node: g.Dynamics) -> g.Dynamics:
    """Return a node as a neuron if its values are 0 or 1."""
    return g.Cell(**vars(node)) if node.has_spikes else node


def elementwise(
    low: Lowering, function: Callable[..., Any], shape: g.Shape, axes: Axes
) -> Elementwise:
    """Return a function of values of a shape, and of constants beside them."""
    return Elementwise(function, lambda x: torch.from_numpy(of_sample(low, x, shape, axes)))


def of_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator of a function of one value, and of numbers."""

    def operator(low: Lowering, x: Any, *args: Any, **kwargs: Any) -> Any:
        x = low.signal(x)
        shape = low.folding.shape(x.layer)
        return _called(low, lambda x: function(x, *args, **kwargs), [x], shape, x.axes)

    return operator


def of_several(number: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator of a function of several values, some of which may be constants."""

    def operator(low: Lowering, *args: Any) -> Any:
        inputs, shape, axes = operands_of(low, *args[:number])
        return _called(low, lambda *x: function(*x, *args[number:]), inputs, shape, axes)

    return operator


def _called(
    low: Lowering, function: Callable[..., Any], inputs: list[Any], shape: g.Shape, axes: Axes
) -> Signal:
    whole = elementwise(low, function, shape, axes)

    def make(name: str, given: list[Any]) -> list[g.Node]:
        return [node_of(name, given, whole)]

    try:
        make("function", [x if isinstance(x, Const) else g.INPUT for x in inputs])
    except ConfigError as error:
        raise low.refusal(error.what, error.remedy) from error
    return low.call(inputs, shape, make, axes=axes, elementwise=whole)


def is_value(x: Any) -> bool:
    """Return whether something is a value that depends on the input."""
    return isinstance(x, Signal | State | Reduced)


def _leaky_relu(x: Any, slope: float = 0.01) -> Any:
    return x.clamp(min=0) + slope * x.clamp(max=0)


def _elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * (x.clamp(min=0) + alpha * ((input_scale * x.clamp(max=0)).exp() - 1))


def _hardsigmoid(x: Any) -> Any:
    return (x / 6 + 0.5).clamp(min=0, max=1)


def _sign(x: Any) -> Any:
    return (x > 0).float() - (x < 0).float()


def _step_at_zero(x: Any, at_zero: Any) -> Any:
    return torch.where(x > 0, 1.0, torch.where(x < 0, 0.0, at_zero))


def _not(x: Any) -> Any:
    return torch.logical_not(x).float()


def _and(x: Any, y: Any) -> Any:
    return torch.logical_and(x, y).float()


def _or(x: Any, y: Any) -> Any:
    return torch.logical_or(x, y).float()


def _other(x: Any, y: Any) -> Any:
    return (x != y).float()


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
    "sign": of_one(_sign),
    "bool": of_one(lambda x: (x != 0).float()),
    "logical_not": of_one(_not),
    "bitwise_not": of_one(_not),
    "minimum": of_several(2, torch.minimum),
    "maximum": of_several(2, torch.maximum),
    "gt": of_several(2, lambda x, y: (x > y).float()),
    "ge": of_several(2, lambda x, y: (x >= y).float()),
    "lt": of_several(2, lambda x, y: (x < y).float()),
    "le": of_several(2, lambda x, y: (x <= y).float()),
    "eq": of_several(2, lambda x, y: (x == y).float()),
    "ne": of_several(2, lambda x, y: (x != y).float()),
    "heaviside": of_several(2, _step_at_zero),
    "logical_and": of_several(2, _and),
    "bitwise_and": of_several(2, _and),
    "__and__": of_several(2, _and),
    "logical_or": of_several(2, _or),
    "bitwise_or": of_several(2, _or),
    "__or__": of_several(2, _or),
    "logical_xor": of_several(2, _other),
    "bitwise_xor": of_several(2, _other),
    "__xor__": of_several(2, _other),
    "where": of_several(3, torch.where),
    "masked_fill": of_several(3, lambda x, mask, value: torch.where(mask, value, x)),
    "lerp": of_several(3, lambda x, y, weight: x + weight * (y - x)),
}
TERNARY = ("where", "masked_fill", "lerp")
BINARY = (
    *("add", "sub", "rsub", "mul", "div", "minimum", "maximum", "heaviside"),
    *("gt", "ge", "lt", "le", "eq", "ne"),
    *("logical_and", "bitwise_and", "__and__", "logical_or", "bitwise_or", "__or__"),
    *("logical_xor", "bitwise_xor", "__xor__"),
)
OPERANDS = {**dict.fromkeys(BINARY, 2), **dict.fromkeys(TERNARY, 3)}  # values or constants
