"""The steps of a loop over one image, in which nothing but the values of the steps before differs.

Two nodes are the same a step apart if their functions are the same, and their operands pair by pair
are one node, the same a step apart, or, before the first step, a constant:

    v_0 = b · 0 + x,   v_1 = b · r(v_0) + x,   v_2 = b · r(v_1) + x, ...

The search begins with neighbours in lists that are joined, and with sums of sums.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch.utils._pytree as pytree
from torch import fx

from ..calls import PART
from ..capture import Capture
from ..elementwise import OPERANDS
from ..lowering import EMPTY, SHAPED

JOINS = ("stack", "cat")
SUMS = ("add", "maximum")
COMMUTES = ("add", "mul", "maximum", "minimum")


def steps_of_nodes(captured: Capture) -> dict[fx.Node, int]:
    """Return the step of each node that reads a constant in the first and a value in later ones."""
    return _Clock(captured).steps()


class _Call(NamedTuple):
    """What a node computes, beside its operands, and these: nodes and numbers."""

    form: Hashable
    operands: tuple[Any, ...]


class _Clock:
    def __init__(self, captured: Capture) -> None:
        self.graph = captured.graph
        self.calls = {node: _call_of(node, captured) for node in self.graph.nodes}
        # The nodes that depend on the input, which is the last placeholder.
        self.varying = {[node for node in self.graph.nodes if node.op == "placeholder"][-1]}
        for node in self.graph.nodes:
            if _name(node) not in (*SHAPED, *EMPTY) and not self.varying.isdisjoint(
                node.all_input_nodes
            ):
                self.varying.add(node)

    def steps(self) -> dict[fx.Node, int]:
        following: dict[fx.Node, fx.Node] = {}  # from a node to that of the next step
        begun: set[fx.Node] = set()
        for first, later in self.candidates():
            found = self.paired(first, later)
            if found is not None and all(following.get(a, b) is b for a, b in found[0].items()):
                following |= found[0]
                begun |= found[1]
        steps: dict[fx.Node, int] = {}
        for node in begun - set(following.values()):
            steps[node] = 0
            while node in following:
                steps[following[node]] = steps[node] + 1
                node = following[node]
        return steps

    def candidates(self) -> Iterator[tuple[fx.Node, fx.Node]]:
        """Yield pairs of nodes that may be the same a step apart."""
        for node in self.graph.nodes:
            name = _name(node)
            parts = [each for each in node.all_input_nodes if each in self.varying]
            if name in JOINS:
                yield from pairwise(parts)
            elif name in SUMS:
                yield from ((each, node) for each in parts if self.alike(each, node))

    def paired(
        self, first: fx.Node, later: fx.Node
    ) -> tuple[dict[fx.Node, fx.Node], set[fx.Node]] | None:
        """Return which nodes are which in the next step, and those of them that read constants
        first; None if the two are not the same a step apart."""
        pairs: dict[fx.Node, fx.Node] = {}
        begun: set[fx.Node] = set()
        waiting = [(first, later)]
        while waiting:
            a, b = waiting.pop()
            if pairs.get(a) is b:
                continue
            if a in pairs or not self.alike(a, b):
                return None
            pairs[a] = b
            operands = self.calls[b].operands
            if _name(a) in COMMUTES and not self.may_follow(a, operands):
                operands = operands[::-1]
            if not self.may_follow(a, operands):
                return None
            for own, other in zip(self.calls[a].operands, operands, strict=True):
                if own is other or other not in self.varying:
                    continue
                if own in self.varying:
                    waiting.append((own, other))
                else:
                    begun.add(a)
        return pairs, begun

    def may_follow(self, node: fx.Node, operands: tuple[Any, ...]) -> bool:
        """Return whether operands may be those of a node a step later."""
        pairs = zip(self.calls[node].operands, operands, strict=True)
        return all(
            a is b or a not in self.varying or (b in self.varying and self.alike(a, b))
            for a, b in pairs
        )

    def alike(self, a: fx.Node, b: fx.Node) -> bool:
        return self.calls[a].form == self.calls[b].form


def _call_of(node: fx.Node, captured: Capture) -> _Call:
    args = list(node.args)
    if _name(node) == PART.partition("::")[2]:
        args[1] = captured.calls[int(args[1])].where  # type: ignore[call-overload]
    number = OPERANDS.get(_name(node), 0)
    leaves, spec = pytree.tree_flatten((args[number:], dict(node.kwargs)))
    own = [x for x in leaves if isinstance(x, fx.Node)]
    rest = tuple("" if isinstance(x, fx.Node) else repr(x) for x in leaves)
    placed = node if node.op == "placeholder" else str(node.target)
    return _Call((placed, str(spec), rest), (*args[:number], *own))


def _name(node: fx.Node) -> str:
    target: Any = node.target
    schema = getattr(target, "_schema", None)
    return schema.name.partition("::")[2] if schema else str(target)
