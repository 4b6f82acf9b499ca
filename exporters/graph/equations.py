"""The step of a neuron in torch, traced as operations of the export graph's `Cell`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.node import map_arg
from torch.fx.proxy import GraphAppendingTracer

from ...core.errors import ConfigError
from ...models.neurons.surrogates import spike
from .cell import OPERATIONS, Cell, Operation
from .nodes import Array

KNOWN = (
    "+, -, *, /, squares, comparisons, torch.where, minimum, maximum, clamp, exp, log, sqrt, tanh, "
    "sigmoid, abs, relu and asnn.models.spike"
)


def traced_cell(
    name: str,
    source: str,
    step: Callable[..., Any],
    states: Sequence[str],
    schedules: Mapping[str, Tensor],
    steps: int,
) -> Cell:
    """Return a neuron whose equations are those of a function of torch.

    Args:
        name: of the node.
        source: the node that it reads.
        step: `step(x, *states, **schedules) -> (spikes, *states)` for one step, elementwise. It
            may read tensors and numbers of its own, which become constants.
        states: names of the states, 0 before the first step.
        schedules: parameters `[T, ...]`, given to `step` by name, each at its step.
        steps: T.

    Raises:
        ConfigError: the function does something else than the graph's operations.
    """
    for key, table in schedules.items():
        if len(table) != steps:
            raise ConfigError(f"its {key!r} has {len(table)} steps instead of {steps}")
    for key in states:
        if not key.isidentifier() or key == "rest":
            raise ConfigError(f"{key!r} cannot be the name of a state", remedy="choose another")
    graph = fx.Graph()
    tracer = _Tracer(graph)
    given = [fx.Proxy(graph.placeholder(key), tracer) for key in ("x", *states, *schedules)]
    by_name = dict(zip(schedules, given[1 + len(states) :], strict=True))
    try:
        returned = step(*given[: 1 + len(states)], **by_name)
        graph.output(tracer.create_arg(returned))
    except ConfigError:
        raise
    except Exception as error:  # of the function
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            "its step cannot be traced",
            why=why,
            remedy=f"write it without branches that depend on values, with {KNOWN}",
        ) from error
    graph.eliminate_dead_code()
    tables = [np.array(table.detach().float().cpu().numpy()) for table in schedules.values()]
    return _Reading(tracer.tensors, 1 + len(states) + len(tables)).cell(
        graph, name=name, inputs=(source,), state_names=tuple(states), schedules=tuple(tables),
        schedule_names=tuple(schedules),
    )  # fmt: skip


class _Tracer(GraphAppendingTracer):
    """Traces a function; its own tensors are nodes with their number as target.

    Attributes:
        tensors: of the function.
    """

    def __init__(self, graph: fx.Graph) -> None:
        super().__init__(graph)
        self.tensors: list[Tensor] = []

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor):
            self.tensors.append(a.detach())
            return self.graph.create_node("get_attr", str(len(self.tensors) - 1))
        return super().create_arg(a)


class _Reading:
    """Reads the nodes of a trace one after another.

    Attributes:
        constants, operations: so far. While reading, constants have negative indices, since the
            number of constants is not known yet: `-1 - i`.
    """

    def __init__(self, tensors: list[Tensor], first: int) -> None:
        self.tensors, self.first = tensors, first
        self.constants: list[Array] = []
        self.operations: list[Operation] = []

    def cell(self, graph: fx.Graph, **fields: Any) -> Cell:
        values: dict[fx.Node, Any] = {}
        number = 0
        for node in graph.nodes:
            args, kwargs = map_arg((node.args, dict(node.kwargs)), values.__getitem__)
            if node.op == "placeholder":
                values[node] = _Value(number)
                number += 1
            elif node.op == "get_attr":
                values[node] = self.tensors[int(node.target)]
            elif node.op == "output":
                return self.finish(args[0], fields)
            else:
                values[node] = self.call(node.target, args, kwargs)
        raise AssertionError("a traced function returns")

    def finish(self, returned: Any, fields: dict[str, Any]) -> Cell:
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

        cell = Cell(
            constants=tuple(self.constants),
            operations=tuple(
                Operation(kind, tuple(map(placed, inputs))) for kind, inputs in self.operations
            ),
            output=placed(output),
            after=tuple(map(placed, after)),
            **fields,
        )
        cell.check()
        return cell

    def call(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        if target is spike:
            return self.add("greater", args[0], 0.0)
        if name.endswith("_") and name not in ("and_", "or_"):
            raise ConfigError(
                f"{name} in its step changes a tensor in place",
                remedy=f"write v = v.{name[:-1]}(...) or the operator",
            )
        if name in IDENTITIES:
            return args[0]
        if name == "getattr" and args[1] in ("dtype", "device", "shape"):
            return args[1]
        kind = KINDS.get(name.strip("_"))
        if kind is not None and not kwargs:
            return self.add(kind, *args)
        special = getattr(self, f"_{name.strip('_')}", None) if name in SPECIAL else None
        if special is None or not _takes(special, args, kwargs):
            raise ConfigError(
                f"{name} in its step has no form in the export graph", remedy=f"use {KNOWN}"
            )
        return special(*args, **kwargs)

    def add(self, kind: str, *inputs: Any) -> _Value:
        self.operations.append(Operation(kind, tuple(self.index(value) for value in inputs)))
        return _Value(self.first + len(self.operations) - 1)

    def index(self, value: Any) -> int:
        """Return the index of a value; a number or a tensor becomes a constant."""
        if isinstance(value, _Value):
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

    def _relu(self, x: Any) -> Any:
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

    def _bool(self, x: Any) -> Any:
        return self.add("where", x, 1.0, 0.0)

    def _masked_fill(self, x: Any, mask: Any, value: Any) -> Any:
        return self.add("where", mask, value, x)

    def _rsub(self, x: Any, other: Any) -> Any:
        return self.add("sub", other, x)

    def _reciprocal(self, x: Any) -> Any:
        return self.add("div", 1.0, x)

    def _invert(self, x: Any) -> Any:
        return self.add("sub", 1.0, x)

    _logical_not = _invert

    def _zeros_like(self, x: Any) -> Any:
        return 0.0

    def _ones_like(self, x: Any) -> Any:
        return 1.0


def _takes(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


class _Value:
    """A value of the step, by its index."""

    def __init__(self, index: int) -> None:
        self.index = index


IDENTITIES = {"to", "float", "type_as", "detach", "clone", "contiguous", "double"}
KINDS = {
    **{name: name for name in OPERATIONS},
    "iadd": "add", "isub": "sub", "imul": "mul", "subtract": "sub", "multiply": "mul",
    "truediv": "div", "itruediv": "div", "divide": "div", "negative": "neg",
    "gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal",
    "and": "mul", "logical_and": "mul", "or": "maximum", "logical_or": "maximum",
}  # fmt: skip
SPECIAL = {
    "clamp", "clip", "relu", "square", "pow", "rsub", "__rsub__", "reciprocal", "invert",
    "logical_not", "zeros_like", "ones_like", "max", "min", "bool", "masked_fill",
}  # fmt: skip
