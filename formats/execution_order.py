"""In which order the nodes of a NIR graph are computed, and which edges carry the step before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from ..core.errors import DataError
from .errors import sanitize

if TYPE_CHECKING:
    import nir

Edge = tuple[str, str]

# Nodes whose value depends on earlier steps, by the name of their type.
STATEFUL = frozenset({"I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Delay"})


class ExecutionOrder(NamedTuple):
    """The order of the nodes within a step.

    Attributes:
        order: names; every edge that is not delayed runs from an earlier to a later one.
        delayed: edges that carry the value of the step before, 0 in the first step.
    """

    order: list[str]
    delayed: frozenset[Edge]


def execution_order(nodes: Mapping[str, str], edges: Sequence[Edge]) -> ExecutionOrder:
    """Return the order of the nodes of a graph: every loop takes one step.

    The delayed edge of a loop is the one that runs back to the node where the loop is entered, as
    seen from the input: from the recurrent weights to the neuron, for input → neuron → weights →
    neuron. A search in depth from the inputs finds them, along edges in the order of the file. In
    a loop that is entered at one node this order does not matter.

    Args:
        nodes: the type of each node of a flat graph, by name, such as `LIF`.
        edges: pairs of names.

    Raises:
        DataError: a loop has no node with a state.
    """
    _require_states(nodes, edges)
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        readers[source].append(target)
    inputs = [name for name, kind in nodes.items() if kind == "Input"]
    delayed: set[Edge] = set()
    seen: set[str] = set()
    finished: list[str] = []
    for root in (*inputs, *nodes):
        if root in seen:
            continue
        seen.add(root)
        open_: dict[str, Iterable[str]] = {root: iter(readers[root])}  # the path from the root
        while open_:
            name = next(reversed(open_))
            for reader in open_[name]:
                if reader in open_:
                    delayed.add((name, reader))
                elif reader not in seen:
                    seen.add(reader)
                    open_[reader] = iter(readers[reader])
                    break
            else:
                finished.append(name)
                del open_[name]
    return ExecutionOrder(finished[::-1], frozenset(delayed))


def _require_states(nodes: Mapping[str, str], edges: Iterable[Edge]) -> None:
    """Refuse a loop of nodes that have no state."""
    before: dict[str, set[str]] = {n: set() for n, kind in nodes.items() if kind not in STATEFUL}
    for source, target in edges:
        if source in before and target in before:
            before[target].add(source)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        names = [sanitize(name, 40) for name in error.args[1]]
        shown = names if len(names) <= 6 else [*names[:5], "…"]
        raise DataError(
            "the NIR graph has a loop without a neuron: " + " → ".join(shown),
            why="each of its values would be needed to compute itself: an equation to solve at "
            "every step, not a step of time",
            remedy="put a neuron or a Delay into the loop, or remove an edge of it",
        ) from error


def flattened(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Return the graph with the nodes of nested graphs in their place, named `outer.inner`.

    The Input and Output of a nested graph are left out; their edges run through.

    Raises:
        DataError: a nested graph has several inputs or outputs, or two edges become the same.
    """
    import nir

    nodes = {k: node for k, node in graph.nodes.items() if not isinstance(node, nir.NIRGraph)}
    inside: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = list(graph.edges)
    for name, node in graph.nodes.items():
        if not isinstance(node, nir.NIRGraph):
            continue
        inner = flattened(node)
        ends = [_only(inner, kind, name) for kind in (nir.Input, nir.Output)]
        first, last = (f"{name}.{end}" for end in ends)
        for key, each in inner.nodes.items():
            if key not in ends:
                inside[f"{name}.{key}"] = each
        edges = [(last if a == name else a, first if b == name else b) for a, b in edges]
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inner.edges]
        edges = _without(_without(edges, first), last)
    for same in nodes.keys() & inside.keys():
        raise DataError(f"two nodes of the NIR graph have the name {sanitize(same, 60)!r}")
    if len(set(edges)) < len(edges):
        raise DataError(
            "nested NIR graphs cannot be put in line",
            why="two edges of them would join the same two nodes",
            remedy="pass values around a nested graph outside of it",
        )
    return nir.NIRGraph(nodes | inside, edges, metadata=graph.metadata, type_check=False)


def _only(graph: nir.NIRGraph, kind: type, name: str) -> str:
    found = [key for key, node in graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise DataError(
            f"the nested NIR graph {sanitize(name, 60)!r} has {len(found)} nodes of the type "
            f"{kind.__name__}",
            why="an edge to or from it does not say which of them is meant",
            remedy="write one of each",
        )
    return found[0]


def _without(edges: list[Edge], name: str) -> list[Edge]:
    """Return the edges without a node: each that ends there continues with each that begins."""
    after = [target for source, target in edges if source == name]
    found: list[Edge] = []
    for source, target in edges:
        if target == name:
            found += [(source, reader) for reader in after]
        elif source != name:
            found.append((source, target))
    return found
