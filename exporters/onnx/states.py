"""States of a network between two steps, which the forms `stream` and `scan` pass on."""

from __future__ import annotations

from typing import NamedTuple

from ..graph.ir import Graph, Lstm, Neuron, Node, Shape


class State(NamedTuple):
    """A value that a node keeps from a step to the next, zero at rest.

    Attributes:
        name: `v_NODE` is the membrane of a neuron, `s_NODE` its spikes; `h_NODE` and `c_NODE` are
            the output and the cell of an LSTM.
        node: the name of the node.
        shape: of one sample.
    """

    name: str
    node: str
    shape: Shape

    @property
    def at_rest(self) -> str:
        """The name of its value before the first step, within a model."""
        kind, _, node = self.name.partition("_")
        return f"rest_{node}" if kind == "v" else f"rest_{self.name}"


def states_of(graph: Graph) -> list[State]:
    """Return the states of all nodes, in order."""
    return [state for node in graph.nodes for state in states_of_node(graph, node)]


def states_of_node(graph: Graph, node: Node) -> list[State]:
    """Return the states of a node, none if it is stateless.

    They are the membrane of a neuron, its spikes too if there are recurrent weights, and output and
    cell of an LSTM.
    """
    match node:
        case Neuron():
            kinds = "v" if node.recurrent is None else "vs"
        case Lstm():
            kinds = "hc"
        case _:
            kinds = ""
    return [State(f"{kind}_{node.name}", node.name, graph.shapes[node.name]) for kind in kinds]
