"""Neurons of other packages, given random input: do they compute what their nodes compute?

Samples may not reach what two equations differ in: a neuron that never fires on them has any reset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...coding.draws import drawing
from ...core.errors import VerificationError
from ...models.layer import whole_numbers
from ..draws import draw_noise, keys_of
from ..graph.ir import Array, Cell, Graph, Neuron
from .driving import drive_part

SCALES = (1.0, 10.0, 100.0)  # of the input, until half of the neurons have fired


class LoweredNeuron(NamedTuple):
    """A neuron that has lowered itself.

    Attributes:
        first: the first of its nodes, in order; the last has the name of the neuron.
        neuron: the module.
        run: its spikes for all steps from rest, `[T, B, ...] -> [T, B, ...]`.
    """

    first: str
    neuron: nn.Module
    run: Callable[[Tensor], Tensor]


def check_neurons(graph: Graph, neurons: Mapping[str, LoweredNeuron]) -> None:
    """Compare neurons with their nodes; those of asnn are compared by its tests.

    Args:
        graph: before amplitudes are folded.
        neurons: by the name of their last node.

    Raises:
        VerificationError: a neuron computes something else than its nodes.
    """
    nodes = {node.name: node for node in graph.nodes}
    for name, lowered in neurons.items():
        node = nodes.get(name)
        if not isinstance(node, Neuron | Cell) or is_of_asnn(lowered.neuron):
            continue

        def run(x: Array, lowered: LoweredNeuron = lowered) -> Array | None:
            return _spikes(lowered, x)

        def noise(number: int) -> dict[str, Array]:
            return draw_noise(graph.noise, keys_of(0, number), graph.steps)

        for scale in SCALES:
            fired, fault = drive_part(graph, nodes[lowered.first], node, run, scale, noise)
            if fault is not None:
                raise VerificationError(
                    f"{type(lowered.neuron).__name__} computes something else than it says",
                    why=fault,
                    remedy="let its method lower or neuron_fields say what its forward computes",
                )
            if fired > 0.5:
                break


def is_of_asnn(part: nn.Module) -> bool:
    """Return whether the class of a part is one of asnn."""
    return type(part).__module__.partition(".")[0] == __name__.partition(".")[0]


def _spikes(lowered: LoweredNeuron, x: Array) -> Array | None:
    """Return the spikes of a neuron as whole numbers; None if it cannot be called by itself."""
    neuron = lowered.neuron
    device = next((p.device for p in [*neuron.parameters(), *neuron.buffers()]), None)
    training = neuron.training
    neuron.eval()
    try:
        with torch.no_grad(), drawing(keys_of(0, x.shape[1])):
            found = lowered.run(torch.from_numpy(np.array(x)).to(device))
    except Exception:  # of the user's neuron: that of the whole network is reported
        return None
    finally:
        neuron.train(training)
    if not isinstance(found, Tensor):
        return None
    return whole_numbers(found, getattr(neuron, "amplitude", None), 2).float().cpu().numpy()
