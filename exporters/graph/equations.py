"""The step of a neuron in torch, traced as operations of the export graph's `Cell`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.fx.proxy import GraphAppendingTracer

from ...core.errors import ConfigError
from .elementwise import CONVERSIONS, KNOWN, N, Reading, in_place

CHANGES = {  # with the operator to write instead
    operator.iadd: "+",
    operator.isub: "-",
    operator.imul: "*",
    operator.itruediv: "/",
}


def traced(
    kind: type[N],
    name: str,
    sources: tuple[str, ...],
    step: Callable[..., Any],
    states: Sequence[str],
    schedules: Mapping[str, Tensor],
    steps: int,
    recurrent: Tensor | None = None,
) -> N:
    """Return a node whose equations are those of a function of torch.

    Args:
        kind: of the node: `Cell` of spikes, `Dynamics` of other values.
        name: of the node.
        sources: the nodes that it reads.
        step: `step(x, *others, *states, **schedules) -> (value, *states)` for one step,
            elementwise. It may read tensors and numbers of its own, which become constants.
        states: names of the states, 0 before the first step.
        schedules: parameters `[T, ...]`, given to `step` by name, each at its step.
        steps: T.
        recurrent: weights of the spikes of the step before, the state `s`.

    Raises:
        ConfigError: the function does something else than the graph's operations.
    """
    for key, table in schedules.items():
        if not isinstance(table, Tensor):
            raise ConfigError(f"its {key!r} is no tensor", remedy="give a tensor [T, ...]")
        if len(table) != steps:
            raise ConfigError(f"its {key!r} has {len(table)} steps instead of {steps}")
    for key in states:
        if not key.isidentifier() or key == "rest":
            raise ConfigError(f"{key!r} cannot be the name of a state", remedy="choose another")
    graph = fx.Graph()
    tracer = _Tracer(graph)
    inputs = ["x", *(f"input{i}" for i in range(1, len(sources)))]
    given = [tracer.proxy(graph.placeholder(key)) for key in (*inputs, *states, *schedules)]
    first = len(inputs) + len(states)
    by_name = dict(zip(schedules, given[first:], strict=True))
    random_state = torch.get_rng_state()
    try:
        returned = step(*given[:first], **by_name)
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
    if not torch.equal(torch.get_rng_state(), random_state):
        raise ConfigError(
            "its step draws random numbers",
            why="the file would hold one draw, the same at every step",
            remedy="draw them in training only: `if self.training`",
        )
    _check_changes(graph)
    graph.eliminate_dead_code()
    tables = [np.array(table.detach().float().cpu().numpy()) for table in schedules.values()]
    weights = None if recurrent is None else np.array(recurrent.detach().float().cpu().numpy())
    return Reading(kind, tracer.tensors, first + len(tables)).node(
        graph, name=name, inputs=sources, state_names=tuple(states), schedules=tuple(tables),
        schedule_names=tuple(schedules), recurrent=weights,
    )  # fmt: skip


class _Tracer(GraphAppendingTracer):
    """Traces a function; its own tensors are nodes with their number as target.

    Attributes:
        tensors: of the function.
    """

    def __init__(self, graph: fx.Graph) -> None:
        super().__init__(graph)
        self.tensors: list[Tensor] = []

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor):
            self.tensors.append(a.detach())
            return self.graph.create_node("get_attr", str(len(self.tensors) - 1))
        return super().create_arg(a)


def _changing(function: Callable[..., Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def change(proxy: fx.Proxy, other: Any) -> fx.Proxy:
        return proxy.tracer.create_proxy("call_function", function, (proxy, other), {})

    return change


class _Proxy(fx.Proxy):
    """A traced value; `v += x` is recorded as such, and not as `v + x`."""

    __iadd__ = _changing(operator.iadd)
    __isub__ = _changing(operator.isub)
    __imul__ = _changing(operator.imul)
    __itruediv__ = _changing(operator.itruediv)


def _check_changes(graph: fx.Graph) -> None:
    """Refuse `v += x` if v is read afterwards by another name, since the trace has no aliases."""
    for node in graph.nodes:
        changed = node.args[0] if node.target in CHANGES else None
        for user in changed.users if isinstance(changed, fx.Node) else ():
            alias = user.target in ("detach", "contiguous", *CONVERSIONS)
            if user is not node and (alias or not user < node):
                sign = CHANGES[node.target]
                raise in_place(f"{sign}=", f"write v = v {sign} x")
