"""An interpreter of NIR in numpy, which computes a graph from its file alone.

Equations in discrete time with step dt (forward Euler), as NIR's documentation gives them:

    LI     v ← v + dt/τ (v_leak - v + r x)                        y = v
    LIF    the same, then y = H(v - v_threshold), v ← v_reset where y = 1
    I      v ← v + dt r x                                         y = v
    IF     the same with threshold and reset
    CubaLI, CubaLIF    i ← i + dt/τ_syn (w_in x - i), and i instead of x

All arithmetic is float32. The input of a node is the sum over its in-edges.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import nir
import numpy as np

from ...core.errors import DataError
from ..graph.interpreter import convolve, pool
from ..graph.ir import Array
from .nodes import DT


def run_nir(
    graph: nir.NIRGraph,
    steps: Array,
    dt: float = DT,
    *,
    given: Mapping[str, Array] | None = None,
    wanted: Collection[str] = (),
) -> dict[str, Array]:
    """Return the values of all nodes over time, `[T, B, ...]`, for an input `[T, B, ...]`.

    Args:
        graph: the nodes.
        steps: the input.
        dt: length of a step.
        given: values of nodes `[T, B, ...]`, which are then not computed.
        wanted: nodes, which are computed with those before them alone; by default all.

    Raises:
        DataError: the graph has a cycle, or a node that is not supported here.
    """
    order = _order(graph)
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    given = given or {}
    if wanted:
        order = _before(order, sources, wanted, given)
    state: dict[str, Any] = {}
    found: dict[str, list[Array]] = {name: [] for name in order}
    for t, x in enumerate(steps):
        values: dict[str, Array] = {}
        for name in order:
            node = graph.nodes[name]
            if name in given:
                values[name] = given[name][t]
                continue
            if isinstance(node, nir.Input):
                values[name] = np.asarray(x, np.float32)
                continue
            total = values[sources[name][0]]
            for source in sources[name][1:]:
                total = total + values[source]
            values[name] = _step(name, node, total, state, dt)
        for name in order:
            found[name].append(values[name])
    return {name: np.stack(parts) for name, parts in found.items()}


def _before(
    order: list[str],
    sources: Mapping[str, list[str]],
    wanted: Collection[str],
    given: Mapping[str, Array],
) -> list[str]:
    """Return the nodes that are needed to compute the wanted ones, in order."""
    needed: set[str] = set()
    todo = [*wanted]
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += [] if name in given else sources[name]
    return [name for name in order if name in needed]


def _order(graph: nir.NIRGraph) -> list[str]:
    before: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for source, target in graph.edges:
        before[target].add(source)
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise DataError(
            "the NIR graph has a cycle",
            why="NIR does not define the delay of a loop: " + " → ".join(error.args[1][:5]),
        ) from error
    unconnected = [n for n in order if not before[n] and not isinstance(graph.nodes[n], nir.Input)]
    if unconnected:
        raise DataError(f"node {unconnected[0]!r} of the NIR graph has no input")
    return order


def _step(name: str, node: nir.NIRNode, x: Array, state: dict[str, Any], dt: float) -> Array:
    match node:
        case nir.Output():
            return x
        case nir.Affine():
            return x @ _f32(node.weight).T + _f32(node.bias)
        case nir.Linear():
            return x @ _f32(node.weight).T
        case nir.Scale():
            return x * _f32(node.scale)
        case nir.Threshold():
            return (x > _f32(node.threshold)).astype(np.float32)
        case nir.Conv2d():
            return convolve(
                x,
                _f32(node.weight),
                _f32(node.bias),
                _pair(node.stride),
                _pair(node.padding),
                _pair(node.dilation),
                int(node.groups),
            )
        case nir.SumPool2d() | nir.AvgPool2d():
            kind = "sum" if isinstance(node, nir.SumPool2d) else "average"
            window = (_pair(node.kernel_size), _pair(node.stride), _pair(node.padding))
            return pool(x[None], kind, *window)[0]
        case nir.Flatten():
            return _flatten(node, x)
        case nir.LIF() | nir.LI() | nir.IF() | nir.I() | nir.CubaLIF() | nir.CubaLI():
            return _neuron(name, node, x, state, dt)
    raise DataError(f"node {name!r} ({type(node).__name__}) of the NIR graph cannot be computed")


def _neuron(name: str, node: Any, x: Array, state: dict[str, Any], dt: float) -> Array:
    v, current = state.get(name, (np.zeros_like(x), np.zeros_like(x)))
    if isinstance(node, nir.CubaLIF | nir.CubaLI):
        current = current + _f32(dt / node.tau_syn) * (_f32(node.w_in) * x - current)
        x = current
    if isinstance(node, nir.IF | nir.I):
        v = v + _f32(dt * node.r) * x
    else:
        tau = node.tau if isinstance(node, nir.LIF | nir.LI) else node.tau_mem
        v = v + _f32(dt / tau) * (_f32(node.v_leak) - v + _f32(node.r) * x)
    if isinstance(node, nir.LI | nir.I | nir.CubaLI):
        state[name] = (v, current)
        return v
    spikes = v > _f32(node.v_threshold)
    state[name] = (np.where(spikes, _f32(node.v_reset), v), current)
    return spikes.astype(np.float32)


def _flatten(node: nir.Flatten, x: Array) -> Array:
    """Flatten axes of a sample; negative ones count from the end."""
    rank = x.ndim - 1
    start, end = (int(d) + rank if d < 0 else int(d) for d in (node.start_dim, node.end_dim))
    shape = x.shape[1:]
    return x.reshape(len(x), *shape[:start], -1, *shape[end + 1 :])


def _pair(value: Any) -> tuple[int, int]:
    values = np.atleast_1d(np.asarray(value)).tolist()
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _f32(value: Any) -> Array:
    return np.asarray(value, np.float32)
