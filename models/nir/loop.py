"""A loop of a NIR graph as one layer of neurons that reads its own spikes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from ..layer import Layer, Lowering
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from .neuron import NirNeuron


class OwnSpikes(NamedTuple):
    """A layer of neurons that reads its own spikes of the step before through weights.

    Attributes:
        neuron, weights: the names of both nodes.
    """

    neuron: str
    weights: str


def own_spikes(
    names: Sequence[str],
    node: Callable[[str], nn.Module],
    sources: Callable[[str], Sequence[str]],
    readers: Callable[[str], Sequence[str]],
) -> OwnSpikes:
    """Return the two nodes of a loop.

    Args:
        names: of the nodes of the loop.
        node, sources, readers: return the module of a node, and what it reads and what reads it.

    Raises:
        ConfigError: it has others, or weights that are read elsewhere or change the shape.
    """
    spiking = [name for name in names if _is_neuron(node(name))]
    others = [name for name in names if name not in spiking]
    if len(spiking) == len(others) == 1:
        found = OwnSpikes(spiking[0], others[0])
        alone = list(sources(found.weights)) == list(readers(found.weights)) == [found.neuron]
        inside = [name for name in sources(found.neuron) if name in names]
        fed = len(sources(found.neuron)) > 1 and inside == [found.weights]
        if alone and fed and _is_recurrent(node(found.weights)):
            return found
    raise ConfigError(
        f"the loop of {', '.join(names)} has no form in the export graph",
        why="it is not one layer of neurons that reads its own spikes through a Linear, an Affine "
        "or a Conv2d that keeps their shape",
        remedy="export it to NIR with --form given, which writes the nodes as they are",
    )


def lower_loop(
    graph: Lowering, path: str, neurons: nn.Module, weights: nn.Module, at: str, *, late: bool
) -> str:
    """Add a loop to an export graph, and return its last node.

    Args:
        graph: the graph.
        path: the name of the neurons.
        neurons, weights: both layers.
        at: the node with their input.
        late: whether the bias of the weights arrives from the second step on, not the first.
    """
    assert isinstance(neurons, SpikingLayer) and isinstance(weights, OverTime)
    layer = weights.layer
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    if layer.bias is not None and bool(layer.bias.any()):
        offset = layer.bias.detach().expand(graph.steps, -1).clone()
        if late:
            offset[0] = 0
        fields = {"factor": torch.ones_like(offset), "offset": offset}
        graph.add("ChannelScale", f"{path}.bias", (at,), **fields)
        at = graph.at
    prefix, _, key = path.rpartition(".")
    own = _WithWeights(neurons.neuron, layer.weight.detach())  # type: ignore[arg-type]
    return graph.branch(f"{prefix}.", nn.Sequential(OrderedDict({key: own})), at)


class _WithWeights(Layer):
    """Neurons with weights of their own spikes, for an export."""

    def __init__(self, neuron: NirNeuron, weight: Tensor) -> None:
        super().__init__()
        self.neuron, self.weight = neuron, weight

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def lower(self, graph: Lowering, name: str) -> None:
        self.neuron.lower(graph, name, self.weight)


def _is_neuron(module: nn.Module) -> bool:
    return isinstance(module, SpikingLayer) and isinstance(module.neuron, NirNeuron)


def _is_recurrent(module: nn.Module) -> bool:
    """Return whether a layer has weights as a recurrent layer of the export graph has them."""
    layer = module.layer if isinstance(module, OverTime) else None
    if not isinstance(layer, nn.Conv2d):
        return isinstance(layer, nn.Linear)
    sides = layer.kernel_size
    return (
        all(side % 2 for side in sides)
        and tuple(layer.padding) == tuple(side // 2 for side in sides)
        and layer.groups == 1
        and tuple(layer.stride) == tuple(layer.dilation) == (1, 1)
    )
