"""What a network ends with: the spikes of its last neurons, or values."""

from __future__ import annotations

import numpy as np

from ..graph.ir import Cell, Graph, Neuron, Readout


def last_neurons(graph: Graph) -> Neuron | Cell | None:
    """Return the neurons whose spikes are the output of a network; None if it gives values."""
    last = graph.nodes[-1]
    if isinstance(last, Neuron | Cell):
        return last
    if not isinstance(last, Readout) or last.bias.any():
        return None
    if not np.array_equal(last.weight, np.eye(len(last.weight))):
        return None
    before = [node for node in graph.neurons if node.name == last.inputs[0]]
    return before[0] if before else None
