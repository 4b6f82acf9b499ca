"""Elementwise operations of a traced function of torch, as operations of the export graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from ...core.errors import ConfigError
from ...models.neurons.surrogates import spike
from .cell import COMPARISONS, OPERATIONS, Dynamics, Operation
from .nodes import Array

KNOWN = (
    "+, -, *, /, squares, comparisons, torch.where, minimum, maximum, clamp, exp, log, sqrt, tanh, "
    "sigmoid, erf, abs, relu and asnn.models.spike"
)
CONVERSIONS = ("to", "float", "double", "type_as")  # which may return their tensor itself
IDENTITIES = ("detach", "clone", "contiguous")
OF_BOOLEANS = ("mul", "minimum", "maximum", "where")  # whose value of booleans is boolean
KINDS = {
    **{name: name for name in OPERATIONS},
    "iadd": "add", "isub": "sub", "imul": "mul", "subtract": "sub", "multiply": "mul",
    "truediv": "div", "itruediv": "div", "divide": "div", "negative": "neg",
    "gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal",
}  # fmt: skip
SPECIAL = {
    "clamp", "clip", "clamp_min", "clamp_max", "relu", "square", "pow", "rsub", "__rsub__",
    "reciprocal", "invert", "and_", "or_", "__and__", "__or__", "logical_not", "logical_and",
    "logical_or", "eq", "ne", "zeros_like", "ones_like", "full_like", "max", "min", "bool", "int",
    "long", "masked_fill", *CONVERSIONS,
}  # fmt: skip

N = TypeVar("N", bound=Dynamics)


class Reading(Generic[N]):
    """Reads the nodes of a trace one after another.

    Attributes:
        constants, operations: so far. While reading, constants have negative indices, since the
            number of constants is not known yet: `-1 - i`.

    Args:
        kind: of the node.
        tensors: of the function.
        first: the number of inputs, states and schedules.
    """

    def __init__(self, kind: type[N], tensors: list[Tensor], first: int) -> None:
        self.kind, self.tensors, self.first = kind, tensors, first
        self.constants: list[Array] = []
        self.operations: list[Operation] = []

    def node(self, graph: fx.Graph, **fields: Any) -> N:
        values: dict[fx.Node, Any] = {}
        number = 0
        for node in graph.nodes:
            args, kwargs = map_arg((node.args, dict(node.kwargs)), values.__getitem__)
            if node.op == "placeholder":
                values[node] = Value(number)
                number += 1
            elif node.op == "get_attr":
                values[node] = self.tensors[int(node.target)]
            elif node.op == "output":
                return self.finish(args[0], fields)
            else:
                values[node] = self.call(node.target, args, kwargs)
        raise AssertionError("a traced function returns")

    def finish(self, returned: Any, fields: dict[str, Any]) -> N:
        found = returned if isinstance(returned, tuple | list) else (returned,)
        names = fields["state_names"]
        if len(found) != 1 + len(names) or any(isinstance(each, tuple) for each in found):
            raise ConfigError(
                f"its step returns {len(found)} values",
                why=f"it has to return the spikes, then the states {', '.join(names) or '(none)'}",
            )
        output, *after = (self.index(value) for value in found)
        constants = len(self.constants)

        def placed(i: int) -> int:
            if i < 0:
                return self.first - 1 - i
            return i if i < self.first else i + constants

        node = self.kind(
            constants=tuple(self.constants),
            operations=tuple(
                Operation(kind, tuple(map(placed, inputs))) for kind, inputs in self.operations
            ),
            output=placed(output),
            after=tuple(map(placed, after)),
            **fields,
        )
        node.check()
        return node

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if target is spike:
            return self.add("greater", args[0], 0.0)
        if name.endswith("_") and name not in ("and_", "or_"):
            raise in_place(name, f"write v = v.{name[:-1]}(...) or the operator")
        if name in IDENTITIES:
            return args[0]
        if name == "getattr" and args[1] in ("dtype", "device", "shape"):
            return args[1]
        if target == "where" and len(args) == 3:  # the method: its tensor is that where it is true
            args = (args[1], args[0], args[2])
        kind = KINDS.get(name.strip("_"))
        if kind is not None and not kwargs:
            return self.add(kind, *args)
        special = getattr(self, f"_{name.strip('_')}", None) if name in SPECIAL else None
        if special is None or not _takes(special, args, kwargs):
            given = f" with {', '.join(kwargs)}" if kwargs else ""
            raise ConfigError(
                f"{name}{given} in its step has no form in the export graph", remedy=f"use {KNOWN}"
            )
        return special(*args, **kwargs)

    def add(self, kind: str, *inputs: Any) -> Value:
        chosen = inputs[1:] if kind == "where" else inputs
        boolean = all(isinstance(value, Value) and value.boolean for value in chosen)
        if boolean and kind == "add":
            kind = "maximum"  # as torch adds booleans
        self.operations.append(Operation(kind, tuple(self.index(value) for value in inputs)))
        number = self.first + len(self.operations) - 1
        return Value(number, boolean=kind in COMPARISONS or (boolean and kind in OF_BOOLEANS))

    def index(self, value: Any) -> int:
        """Return the index of a value; a number or a tensor becomes a constant."""
        if isinstance(value, Value):
            return value.index
        if not isinstance(value, int | float | Tensor):
            raise ConfigError(f"its step computes with {value!r}", why="it is no tensor or number")
        array = np.array(torch.as_tensor(value).detach().float().cpu().numpy())
        for i, known in enumerate(self.constants):
            if known.shape == array.shape and known.tobytes() == array.tobytes():
                return -1 - i
        self.constants.append(array)
        return -len(self.constants)

    def _clamp(self, x: Any, min: Any = None, max: Any = None) -> Any:
        x = x if min is None else self.add("maximum", x, min)
        return x if max is None else self.add("minimum", x, max)

    _clip = _clamp

    def _clamp_min(self, x: Any, min: Any) -> Any:
        return self.add("maximum", x, min)

    def _clamp_max(self, x: Any, max: Any) -> Any:
        return self.add("minimum", x, max)

    def _relu(self, x: Any, inplace: bool = False) -> Any:
        if inplace:
            raise in_place("relu with inplace=True", "use torch.relu")
        return self.add("maximum", x, 0.0)

    def _square(self, x: Any) -> Any:
        return self.add("mul", x, x)

    def _pow(self, x: Any, exponent: Any) -> Any:
        if exponent not in (2, 3):
            raise ConfigError(
                "a power in its step has no form in the export graph",
                remedy="use squares, cubes and torch.sqrt",
            )
        square = self.add("mul", x, x)
        return square if exponent == 2 else self.add("mul", square, x)

    def _max(self, x: Any, other: Any) -> Any:
        return self.add("maximum", x, other)

    def _min(self, x: Any, other: Any) -> Any:
        return self.add("minimum", x, other)

    def _bool(self, x: Any) -> Value:
        if isinstance(x, Value) and x.boolean:
            return x
        return Value(self.add("where", x, 1.0, 0.0).index, boolean=True)

    def _to(self, x: Any, *places: Any, dtype: Any = None, **options: Any) -> Any:
        """Convert to a dtype, device, or those of another tensor."""
        (dtype,) = [each for each in (*places, dtype) if isinstance(each, torch.dtype)] or [None]
        if not isinstance(x, Value):
            return x
        if dtype == torch.bool:
            return self._bool(x)
        if dtype not in (None, torch.float32, torch.float64) and not x.boolean:
            raise ConfigError(
                f"{dtype} in its step has no form in the export graph",
                why="its values are float32",
                remedy="leave out the conversion, which rounds",
            )
        return Value(x.index)

    def _float(self, x: Any) -> Any:
        return self._to(x, torch.float32)

    def _double(self, x: Any) -> Any:
        return self._to(x, torch.float64)

    def _int(self, x: Any) -> Any:
        return self._to(x, torch.int32)

    _long = _int

    def _type_as(self, x: Any, other: Any) -> Any:
        return self._to(x, other)

    def _and(self, x: Any, other: Any) -> Any:
        return self.add("mul", self._bool(x), self._bool(other))

    _logical_and = _and

    def _or(self, x: Any, other: Any) -> Any:
        return self.add("maximum", self._bool(x), self._bool(other))

    _logical_or = _or

    def _eq(self, x: Any, other: Any) -> Any:
        parts = (self.add(kind, x, other) for kind in ("greater_equal", "less_equal"))
        return self.add("mul", *parts)

    def _ne(self, x: Any, other: Any) -> Any:
        parts = (self.add(kind, x, other) for kind in ("greater", "less"))
        return self.add("maximum", *parts)

    def _masked_fill(self, x: Any, mask: Any, value: Any) -> Any:
        return self.add("where", mask, value, x)

    def _rsub(self, x: Any, other: Any) -> Any:
        return self.add("sub", other, x)

    def _reciprocal(self, x: Any) -> Any:
        return self.add("div", 1.0, x)

    def _invert(self, x: Any) -> Any:
        return Value(self.add("sub", 1.0, self._bool(x)).index, boolean=True)

    _logical_not = _invert

    def _zeros_like(self, x: Any) -> Any:
        return 0.0

    def _ones_like(self, x: Any) -> Any:
        return 1.0

    def _full_like(self, x: Any, fill_value: Any) -> Any:
        return fill_value


def _takes(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def in_place(name: str, remedy: str) -> ConfigError:
    return ConfigError(f"{name} in its step changes a tensor in place", remedy=remedy)


class Value:
    """A value of the step, by its index; `boolean` if it is a boolean tensor in torch."""

    def __init__(self, index: int, *, boolean: bool = False) -> None:
        self.index, self.boolean = index, boolean
