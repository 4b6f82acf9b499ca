"""The export graph of a network with an accumulator, cut at its sums."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ...core.errors import ConfigError
from ..graph.answer import Answer
from ..graph.ir import INPUT, Accumulate, Graph


class Parts(NamedTuple):
    """Both parts of a network.

    Attributes:
        backbone: from the code `[T, B, ...]` to the sums of the windows `[W, B, ...]`.
        head: from these sums to the outputs of each window `[W, B, ...]`; its input are the sums.
        sums: the name of the accumulator.
    """

    backbone: Graph
    head: Graph
    sums: str


def split(graph: Graph) -> Parts:
    """Return both parts of a network.

    Raises:
        ConfigError: it has no accumulator, or more than one; a layer reads both parts; random
            numbers are drawn; or a layer behind the sums reads other windows.
    """
    found = [node for node in graph.nodes if isinstance(node, Accumulate)]
    if len(found) != 1:
        raise _refused(
            f"has {len(found) or 'no'} accumulator{'s' * (len(found) > 1)}",
            "two files meet at the sums of one accumulator",
        )
    if graph.noise:
        raise _refused("draws at random", "the two files have no inputs of random numbers")
    sums = found[0].name
    before = _needed_for(graph, sums)
    backbone = tuple(node for node in graph.nodes if node.name in before)
    behind = [node for node in graph.nodes if node.name not in before]
    known = {sums, *(node.name for node in behind)}
    for node in behind:
        if not known.issuperset(node.inputs):
            raise _refused(
                f"has a layer {node.name!r} that reads both parts",
                "the sums are all that passes from one file to the other",
            )
        if node.states or node.looks_ahead:
            raise _refused(
                f"has a layer {node.name!r} behind the sums that reads other windows",
                "the second file answers to each window alone",
            )
    steps = graph.steps_of[sums]
    head = tuple(replace(node, inputs=_with_input(node.inputs, sums)) for node in behind)
    return Parts(
        replace(graph, nodes=backbone),
        replace(graph, nodes=head, in_shape=graph.shapes[sums], steps=steps, static=False),
        sums,
    )


def without_sums(parts: Parts) -> Graph:
    """Return the backbone up to what is summed: its outputs are those of each step.

    Raises:
        ConfigError: other layers come after that.
    """
    *nodes, sums = parts.backbone.nodes
    if nodes[-1].name != sums.inputs[0]:
        raise _refused(
            f"has layers beside {sums.inputs[0]!r}", "the first file ends with what is summed"
        )
    return replace(parts.backbone, nodes=tuple(nodes), answer=Answer())


def _needed_for(graph: Graph, name: str) -> set[str]:
    """Return the nodes that a value is computed from, and its own."""
    nodes = {node.name: node for node in graph.nodes}
    needed, todo = set(), [name]
    while todo:
        each = todo.pop()
        if each != INPUT and each not in needed:
            needed.add(each)
            todo += nodes[each].inputs
    return needed


def _with_input(names: tuple[str, ...], sums: str) -> tuple[str, ...]:
    """Return the inputs of a layer of the head, where the sums are the input of the graph."""
    return tuple(INPUT if each == sums else each for each in names)


def _refused(what: str, why: str) -> ConfigError:
    return ConfigError(
        f"a file for each part is for a network with one accumulator, this one {what}",
        why=why,
        remedy="use --form sequence",
    )
