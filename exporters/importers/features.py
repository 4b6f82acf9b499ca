"""Features of NIR graphs that importers read differently: types of nodes, ranges of parameters,
ways to connect nodes. Each is measured alone, by the graphs of `probes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from ...formats.execution_order import Edge, execution_order, flattened
from ..nir.nodes import DT
from .wiring import delayed_in_depth, depth_first, wired_by_list


class FlatGraph:
    """A graph with the nodes of nested graphs in their place.

    Attributes:
        nodes: by name.
        edges: pairs of names.
        kinds: the type of each node.
        in_edges: the number of edges into each node.
        delayed: edges that carry the step before, see `execution_order`.
        nested: whether it has nested graphs.
        early: the nested graphs that importers by nirtorch meet before a node that they read.
    """

    def __init__(self, graph: nir.NIRGraph) -> None:
        flat = flattened(graph)
        self.nested = any(isinstance(node, nir.NIRGraph) for node in graph.nodes.values())
        self.early = _early(graph)
        self.nodes = flat.nodes
        self.edges: list[Edge] = [(a, b) for a, b in flat.edges]
        self.kinds = {name: type(node).__name__ for name, node in self.nodes.items()}
        self.delayed = execution_order(self.kinds, self.edges).delayed
        self.in_edges = Counter(target for _, target in self.edges)


def _early(graph: nir.NIRGraph) -> list[str]:
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    if "NIRGraph" not in kinds.values():
        return []
    waited = wired_by_list(kinds, [(a, b) for a, b in graph.edges]).waited
    return sorted(name for name in waited if kinds[name] == "NIRGraph")


Words = Iterator[str]


@dataclass(frozen=True)
class Feature:
    """Something that a graph may have.

    Attributes:
        name: in the table and in the facts.
        found: yields what a graph has of it, in words.
    """

    name: str
    found: Callable[[FlatGraph], Words]


# Of nodes in their plainest form.
TYPES = (
    *("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten"),
    *("Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"),
)


def _of_nodes(kind: str, what: str, has: Callable[[Any], Any]) -> Feature:
    """A feature of single nodes.

    Args:
        kind: of the nodes.
        what: of them, in words.
        has: whether a node has it.
    """

    def found(graph: FlatGraph) -> Words:
        for name, node in graph.nodes.items():
            if graph.kinds[name] == kind and bool(has(node)):
                yield f"{kind} {name!r} with {what}"

    return Feature(f"{kind} with {what}", found)


def _several(name: str) -> Callable[[Any], bool]:
    return lambda node: np.unique(getattr(node, name)).size > 1


def _nonzero(name: str) -> Callable[[Any], bool]:
    return lambda node: bool(np.any(getattr(node, name)))


def _close(values: Any, expected: Any) -> bool:
    return bool(np.allclose(values, expected, rtol=1e-6))


def _neurons(kind: str, *times: str) -> Iterator[Feature]:
    """Features of a spiking neuron with these time constants."""
    yield _of_nodes(kind, "several thresholds", _several("v_threshold"))
    yield _of_nodes(kind, "a threshold of 0 or less", lambda n: np.any(n.v_threshold <= 0))
    yield _of_nodes(kind, "v_reset other than 0", _nonzero("v_reset"))
    if not times:
        return
    yield _of_nodes(kind, "v_leak other than 0", _nonzero("v_leak"))
    for each in times:
        word = "τ" if each == "tau" else f"τ{each[3:]}"
        yield _of_nodes(kind, f"several {word}", _several(each))
        yield _of_nodes(kind, f"{word} = dt", _one_step(each))
        yield _of_nodes(kind, f"{word} below dt", _below_one_step(each))


def _one_step(name: str) -> Callable[[Any], bool]:
    return lambda node: bool(np.any(_is_dt(getattr(node, name))))


def _below_one_step(name: str) -> Callable[[Any], bool]:
    def has(node: Any) -> bool:
        tau = getattr(node, name)
        return bool(np.any((tau < DT) & ~_is_dt(tau)))

    return has


def _is_dt(tau: Any) -> Any:
    return np.isclose(tau / DT, 1, rtol=1e-6)


def _standard_r(node: Any) -> bool:
    tau = node.tau if isinstance(node, nir.LIF) else node.tau_mem
    return _close(node.r, tau / DT)


def _padded_by_name(node: Any) -> bool:
    return isinstance(node.padding, str | bytes)


def _inferred_wrongly(node: Any) -> bool:
    """Whether nir 1.0.8 infers another output shape: from the first side of a kernel for both."""
    height, width = node.weight.shape[-2:]
    same = _padded_by_name(node) and node.padding in ("same", b"same")
    return height != width and not same


NODES = (
    *(_of_nodes(f"Conv{n}d", "groups", lambda node: int(node.groups) != 1) for n in (1, 2)),
    *(_of_nodes(f"Conv{n}d", "padding by name", _padded_by_name) for n in (1, 2)),
    _of_nodes("Conv2d", "a kernel that is not square", _inferred_wrongly),
    *(_of_nodes(f"{kind}Pool2d", "padding", _nonzero("padding")) for kind in ("Sum", "Avg")),
    _of_nodes("Flatten", "axes from the front", lambda n: n.start_dim >= 0 or n.end_dim >= 0),
    *_neurons("LIF", "tau"),
    _of_nodes("LIF", "r = τ/dt", lambda n: _standard_r(n) and not _close(n.r, 1)),
    _of_nodes("LIF", "r other than 1 and τ/dt", lambda n: not (_standard_r(n) or _close(n.r, 1))),
    *_neurons("IF"),
    _of_nodes("IF", "r other than 1/dt", lambda n: not _close(n.r, 1 / DT)),
    *_neurons("CubaLIF", "tau_syn", "tau_mem"),
    _of_nodes("CubaLIF", "r other than τ_mem/dt", lambda n: not _standard_r(n)),
    _of_nodes("CubaLIF", "w_in other than τ_syn/dt", lambda n: not _close(n.w_in, n.tau_syn / DT)),
)


def _loops(graph: FlatGraph) -> Words:
    for source, target in sorted(graph.delayed):
        yield f"the loop from {source!r} to {target!r}"


def _listed_otherwise(graph: FlatGraph) -> Words:
    if not graph.delayed:
        return
    for source, target in sorted(wired_by_list(graph.kinds, graph.edges).delayed ^ graph.delayed):
        yield f"the edge from {source!r} to {target!r}, in a loop whose nodes are listed otherwise"


def _not_in_depth(graph: FlatGraph) -> Words:
    for source, target in sorted(delayed_in_depth(graph.kinds, graph.edges) ^ graph.delayed):
        yield f"the edge from {source!r} to {target!r}, where paths part and meet again"


def _loops_after_the_output(graph: FlatGraph) -> Words:
    outputs = [name for name, kind in graph.kinds.items() if kind == "Output"]
    if graph.delayed and depth_first(graph.kinds, graph.edges)[-1:] != outputs[-1:]:
        yield "loops that are reached after the output"


def _nested(graph: FlatGraph) -> Words:
    if graph.nested:
        yield "nested graphs"


def _nested_early(graph: FlatGraph) -> Words:
    for name in graph.early:
        yield f"the nested graph {name!r}, listed before a node that it reads"


def _sums(graph: FlatGraph) -> Words:
    for name, kind in graph.kinds.items():
        if kind != "Output" and graph.in_edges[name] > 1:
            yield f"the sum of several edges into {name!r}"


def _sums_in_output(graph: FlatGraph) -> Words:
    for name, kind in graph.kinds.items():
        if kind == "Output" and graph.in_edges[name] > 1:
            yield f"the sum of several edges into the output {name!r}"


def _dead_ends(graph: FlatGraph) -> Words:
    read = {source for source, _ in graph.edges}
    for name, kind in graph.kinds.items():
        if name not in read and kind != "Output":
            yield f"the node {name!r}, which no other reads"


def _several_ends(graph: FlatGraph) -> Words:
    for kind in ("Input", "Output"):
        number = sum(each == kind for each in graph.kinds.values())
        if number != 1:
            yield f"{number} nodes of the type {kind}"


GRAPHS = (
    Feature("nested graphs", _nested),
    Feature("nested graphs listed before what they read", _nested_early),
    Feature("sums of several edges", _sums),
    Feature("sums of several edges as the output", _sums_in_output),
    Feature("paths that part and meet again", _not_in_depth),
    Feature("nodes that no other reads", _dead_ends),
    Feature("several outputs", _several_ends),
    Feature("loops", _loops),
    Feature("loops in another order of the nodes", _listed_otherwise),
    Feature("loops that are reached after the output", _loops_after_the_output),
)
FEATURES = {each.name: each for each in (*NODES, *GRAPHS)}
