"""Corruptions of the network itself: weights of few bits, and neurons that never fire.

Both are done to a copy of the frozen network, which has its norms folded into the weights, as it
is deployed.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...models.layers.spiking import SpikingLayer
from ...models.network import SpikingNetwork
from .corruptions import Corruption


@torch.no_grad()
def quantized(model: SpikingNetwork, bits: float, seed: int = 0) -> SpikingNetwork:
    """Return a copy whose weights of convolutions and linear layers hold so many bits.

    Symmetric, with a scale for each output channel i, Q = 2^(bits - 1) - 1:

        d_i = max_j |W_ij| / Q        W_ij ← d_i round(W_ij / d_i)

    With 8 bits these are the weights of `asnn export --weights int8`. Biases, norms that could not
    be folded, leak, gain and threshold keep their precision; `seed` changes nothing.
    """
    corrupted = copy.deepcopy(model.frozen())
    for layer in corrupted.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.copy_(_quantized(layer.weight, 2 ** (int(bits) - 1) - 1))
    return corrupted


def _quantized(weight: Tensor, greatest: int) -> Tensor:
    d = weight.abs().amax(tuple(range(1, weight.dim())), keepdim=True) / greatest
    d = d.masked_fill(d == 0, 1)
    return d * (weight / d).round().clamp(-greatest, greatest)


def with_dead_neurons(model: SpikingNetwork, share: float, seed: int = 0) -> SpikingNetwork:
    """Return a copy in which a share of the neurons of each layer never fires.

    Which ones is drawn from the seed, for all samples and steps alike, and more of them hold those
    of a smaller share. A neuron is one value of `[C, H, W]`, in front of the pool of its layer. The
    reference computes such a layer, not the fused kernels.
    """
    corrupted = copy.deepcopy(model.frozen())
    generator = torch.Generator().manual_seed(seed)
    for layer in corrupted.modules():
        if isinstance(layer, SpikingLayer):
            own = int(torch.randint(2**62, (), generator=generator))
            layer.neuron = PartlyDead(layer.neuron, share, own)
            layer.kernels = "reference"
    return corrupted


class PartlyDead(nn.Module):
    """Neurons of which a share never fires: `[T, B, C, ...] -> [T, B, C, ...]`."""

    def __init__(self, neuron: nn.Module, share: float, seed: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.share = share
        self.seed = seed
        self.spiking = getattr(neuron, "spiking", True)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        return spikes * self.alive(spikes.shape[2:]).to(spikes)

    def alive(self, shape: torch.Size) -> Tensor:
        """Return 1 for each neuron `[C, ...]` that can fire, 0 for the others."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(shape.numel(), generator=generator)
        alive = torch.ones(shape.numel())
        alive[order[: round(self.share * len(order))]] = 0
        return alive.view(shape)


QUANTIZE = Corruption(
    quantized, "number of bits of a weight", (8, 6, 4), least=2, most=16, whole=True
)
DEAD_NEURONS = Corruption(
    with_dead_neurons,
    "share of the neurons of each layer that never fire",
    (0.05, 0.1, 0.2, 0.3, 0.5),
)
