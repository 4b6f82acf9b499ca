"""An interpreter of NIR in numpy, which computes a graph from its file alone.

A step computes every node once, in the order of `formats.execution_order`; the input of a node is
the sum over its in-edges. Every loop takes one step: the edge that closes it carries the value of
the step before, 0 in the first step. Nested graphs are run in their place. The equations of the
nodes are in `steps`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import nir
import numpy as np

from ...core.errors import DataError
from ...formats.execution_order import execution_order, flattened
from ..graph.ir import Array
from .nodes import DT
from .steps import step_of


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
        DataError: the graph has a loop without a neuron, several inputs, a node without input, or
            one that is not supported here.
    """
    graph = flattened(graph)
    given = given or {}
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    order, delayed = execution_order(kinds, graph.edges)
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in graph.edges:
        sources[target].append(source)
    _check_inputs(graph, sources)
    if wanted:
        order = _before(order, sources, wanted, given)
    state: dict[str, Any] = {}
    found: dict[str, list[Array]] = {name: [] for name in order}
    for t, x in enumerate(steps):
        for name in order:
            if name in given:
                value = given[name][t]
            elif isinstance(node := graph.nodes[name], nir.Input):
                value = np.asarray(x, np.float32)
            else:
                terms = [
                    found[source][t - 1 if (source, name) in delayed else t]
                    for source in sources[name]
                    if t or (source, name) not in delayed
                ]
                value = step_of(name, node, _sum(name, terms), state, dt)
            found[name].append(value)
    return {name: np.stack(parts) for name, parts in found.items()}


def _sum(name: str, terms: list[Array]) -> Array:
    if not terms:
        raise DataError(
            f"node {name!r} of the NIR graph has no input in the first step",
            why="it reads nothing but a loop that no input enters",
        )
    total = terms[0]
    for term in terms[1:]:
        if term.shape != total.shape:
            raise DataError(
                f"node {name!r} of the NIR graph adds values of the shapes "
                f"{list(total.shape[1:])} and {list(term.shape[1:])}"
            )
        total = total + term
    return total


def _check_inputs(graph: nir.NIRGraph, sources: Mapping[str, list[str]]) -> None:
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise DataError(f"the NIR graph has {len(inputs)} inputs", why="it is run with one")
    for name, before in sources.items():
        if not before and name not in inputs:
            raise DataError(f"node {name!r} of the NIR graph has no input")


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
