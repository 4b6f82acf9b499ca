"""States of a network between two steps, which the forms `stream` and `scan` pass on."""

from __future__ import annotations

from typing import NamedTuple

from ..graph.ir import Array, Filter, Graph, Node, Shape
from ..graph.noise import noise_name


class State(NamedTuple):
    """A value that a node keeps from a step to the next, zero at rest.

    Attributes:
        name: `v_NODE` is the membrane of a neuron, `s_NODE` its spikes, `fired_NODE` whether it has
            fired; `i_NODE` is its synaptic current; `h_NODE` and `c_NODE` are
            the output and the cell of an LSTM, `f1_NODE` and on the states of a filter.
        node: the name of the node.
        shape: of one sample.
        start: value before the first step, `[C]` or `[1]`; None for 0.
    """

    name: str
    node: str
    shape: Shape
    start: Array | None = None

    @property
    def at_rest(self) -> str:
        """The name of its value before the first step, within a model."""
        kind, _, node = self.name.partition("_")
        return f"rest_{node}" if kind == "v" else f"rest_{self.name}"


def states_of(graph: Graph) -> list[State]:
    """Return the states of all nodes, in order."""
    return [state for node in graph.nodes for state in states_of_node(graph, node)]


def states_of_node(graph: Graph, node: Node) -> list[State]:
    """Return the states of a node, none if it is stateless."""
    shape = graph.shapes[node.name]
    found = [State(f"{kind}_{node.name}", node.name, shape) for kind in node.states]
    if isinstance(node, Filter) and node.start is not None:
        found[-1] = found[-1]._replace(start=node.start)
    return found


def noise_in_loop(layer: str) -> str:
    """Return the name of the uniform numbers of one step in a loop, beside those of all steps."""
    return f"{noise_name(layer)}/step"
