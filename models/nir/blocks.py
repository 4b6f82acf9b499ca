"""The nodes of a NIR graph in blocks: single ones, and loops that are computed step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from ...core.errors import ConfigError
from ...formats.execution_order import STATEFUL, Edge


class Block(NamedTuple):
    """Nodes that are computed together: one node over all steps, or a loop step by step.

    Attributes:
        names: in order.
        loops: whether values of the step before are read.
    """

    names: tuple[str, ...]
    loops: bool


def checked_edges(nodes: Mapping[str, Any], edges: Sequence[Sequence[str]]) -> list[Edge]:
    """Return edges as pairs.

    Raises:
        ConfigError: one is no pair of nodes.
    """
    found = []
    for edge in edges:
        if len(edge) != 2 or not all(end in nodes for end in edge):
            raise ConfigError(f"{list(edge)} is no edge", why="it is no pair of names of nodes")
        found.append((str(edge[0]), str(edge[1])))
    return found


def only_node(nodes: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """Return the only node of a type.

    Raises:
        ConfigError: there are none, or several.
    """
    found = [name for name, node in nodes.items() if node["type"] == kind]
    if len(found) != 1:
        raise ConfigError(
            f"the network has {len(found)} nodes of the type {kind}",
            why="a run takes one kind of samples and gives one answer",
            remedy=f"write a file with one {kind}",
        )
    return found[0]


def late_at_neurons(
    kinds: Mapping[str, str], edges: Sequence[Edge], delayed: frozenset[Edge]
) -> frozenset[Edge]:
    """Return the delayed edges where loops read the spikes of the step before, instead of what
    weights make of them: in the first step the bias of the weights is there then.

    Args:
        kinds: the type of each node.
        edges: all of them.
        delayed: those that carry the step before.
    """
    found = set(delayed)
    for edge in delayed:
        reader, source = edge[1], edge[0]
        while kinds[source] not in STATEFUL:
            readers = [b for a, b in edges if a == source]
            before = [a for a, b in edges if b == source]
            if len(readers) != 1 or len(before) != 1:
                break
            reader, source = source, before[0]
        else:
            found = (found - {edge}) | {(source, reader)}
    return frozenset(found)


def blocks_of(
    order: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    delayed: frozenset[Edge],
    output: str,
) -> list[Block]:
    """Return the nodes that the output depends on in blocks, each after those that it reads.

    The blocks are the strongly connected components (Kosaraju's algorithm: the order is that in
    which a search in depth has left the nodes, backwards).

    Args:
        order: of all nodes, as `execution_order` gives it.
        sources: the nodes that each one reads.
        delayed: edges that carry the step before; the others give the order within a block.
        output: the name of the output.
    """
    left, blocks = _before(output, sources, set(order)), []
    for root in order:
        if root in left:
            found = _before(root, sources, left)
            left -= found
            loops = len(found) > 1 or root in sources[root]
            blocks.append(Block(_in_order(found, order, sources, delayed), loops))
    return blocks


def _in_order(
    names: set[str],
    order: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    delayed: frozenset[Edge],
) -> tuple[str, ...]:
    """Return the nodes of a block, each after those that it reads in the same step."""
    if len(names) == 1:
        return tuple(names)
    now = {
        name: [each for each in sources[name] if each in names and (each, name) not in delayed]
        for name in order
        if name in names
    }
    return tuple(TopologicalSorter(now).static_order())


def _before(name: str, sources: Mapping[str, Sequence[str]], among: set[str]) -> set[str]:
    """Return the nodes of a set that a node depends on, itself included."""
    found, todo = set(), [name]
    while todo:
        each = todo.pop()
        if each in among and each not in found:
            found.add(each)
            todo += sources[each]
    return found
