"""One sample on its way through all layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..measure.encoding import EncodedImage, code_of
from ..measure.evaluation import running_mean
from ..models.layers.spiking import SpikingLayer, use_kernels
from ..models.network import SpikingNetwork

MOST_NEURONS = 160  # of a layer; others are left out of the raster, evenly


@dataclass(frozen=True)
class LayerSpikes:
    """Spikes of a layer's neurons.

    Attributes:
        name: of the layer.
        neurons: how many it has.
        total: spikes of all of them.
        spikes: `[T, n]` of evenly spread ones, 0 or 1.
    """

    name: str
    neurons: int
    total: int
    spikes: Tensor


@dataclass(frozen=True)
class SampleTrace:
    """What becomes of one sample.

    Attributes:
        coded: the image and its code.
        layers: of neurons that spike, in order.
        answers, confidence: after each step, `[T]`.
        random: whether the code draws other spikes each time.
    """

    coded: EncodedImage
    layers: list[LayerSpikes]
    answers: list[int]
    confidence: list[float]
    random: bool


@torch.no_grad()
def trace_sample(model: SpikingNetwork, image: Tensor) -> SampleTrace:
    """Return the passage of one image `[C, H, W]` in [0, 1] through a network.

    It is computed by a copy, on the processor and by the reference kernels, which show each neuron.
    """
    network = copy.deepcopy(model).cpu().eval()
    use_kernels(network, "reference")
    layers: list[LayerSpikes] = []
    for name, module in network.named_modules():
        if isinstance(module, SpikingLayer) and getattr(module.neuron, "spiking", True):
            module.neuron.register_forward_hook(_adds(layers, name.removeprefix("body.")))
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        code, again = (network.coding.encode(image.unsqueeze(0)) for _ in range(2))
    so_far = running_mean(network.run(code).float())[:, 0]
    sure, answers = so_far.softmax(1).max(1)
    return SampleTrace(
        coded=code_of(network.coding, image, code[:, 0]),
        layers=layers,
        answers=answers.tolist(),
        confidence=sure.tolist(),
        random=not torch.equal(code, again),
    )


def _adds(layers: list[LayerSpikes], name: str) -> Callable[[Any, Any, Tensor], None]:
    return lambda neuron, x, spikes: layers.append(_layer(name, spikes))


def _layer(name: str, spikes: Tensor) -> LayerSpikes:
    each = spikes[:, 0].flatten(1)
    neurons = each.shape[1]
    places = torch.linspace(0, neurons - 1, min(neurons, MOST_NEURONS), dtype=torch.float64)
    return LayerSpikes(name, neurons, int(each.sum()), each[:, places.round().long()])
