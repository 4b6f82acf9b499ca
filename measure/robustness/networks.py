"""Corruptions of the network: weights of few bits, and neurons that never fire.

Both change a copy of the frozen network, in which norms are folded into weights as for deployment.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ...models.layer import synaptic_weights
from ...models.layers.spiking import SpikingLayer
from ...models.network import SpikingNetwork
from .corruptions import Corruption


@torch.no_grad()
def quantized(model: SpikingNetwork, bits: float, seed: int = 0) -> SpikingNetwork:
    """Return a copy whose layers, recurrent weights included, have weights of `bits` bits.

    Symmetric, with a scale for each output channel i and Q = 2^(bits - 1) - 1:

        d_i = max_j |W_ij| / Q        W_ij ← d_i round(W_ij / d_i)

    With 8 bits these are the weights of `asnn export --weights int8`, but for amplitudes of each
    channel, which an export folds into the weights before. Biases, norms that cannot be
    folded, leak, gain and threshold keep their precision. `seed` is not used.
    """
    corrupted = copy.deepcopy(model.frozen())
    for layer in corrupted.modules():
        for weight in synaptic_weights(layer):
            weight.copy_(_quantized(weight, 2 ** (int(bits) - 1) - 1))
    return corrupted


def _quantized(weight: Tensor, q_max: int) -> Tensor:
    d = weight.abs().amax(tuple(range(1, weight.dim())), keepdim=True) / q_max
    d = d.masked_fill(d == 0, 1)
    return d * (weight / d).round().clamp(-q_max, q_max)


@torch.no_grad()
def with_dead_neurons(model: SpikingNetwork, share: float, seed: int = 0) -> SpikingNetwork:
    """Return a copy in which a share of the neurons of each layer never fires.

    They are drawn from the seed, are the same for all samples and steps, and include those of any
    smaller share. A neuron is one value of `[C, H, W]` before the layer's pool. A dead neuron sends
    nothing through recurrent weights either. The layer runs with the reference kernels.
    """
    corrupted = copy.deepcopy(model.frozen())
    generator = torch.Generator().manual_seed(seed)
    for layer in corrupted.modules():
        if isinstance(layer, SpikingLayer):
            layer_seed = int(torch.randint(2**62, (), generator=generator))
            neuron = layer.neuron
            dead = PartlyDead(neuron, share, layer_seed)
            if callable(getattr(layer, "silence", None)):  # it gives its neurons their own spikes
                layer.silence(dead.alive)  # type: ignore[operator]
                continue
            layer.neuron = dead
            if callable(getattr(neuron, "silence", None)):  # it sends spikes to itself
                neuron.silence(dead.alive)  # type: ignore[operator]
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
        self.most = getattr(neuron, "most", 1)
        self.once = getattr(neuron, "once", False)
        self.held = getattr(neuron, "held", False)

    @property
    def amplitude(self) -> Tensor | None:
        """That of the neurons."""
        return getattr(self.neuron, "amplitude", None)

    def step_parameters(self) -> Any:
        """Return those of the neurons, from which a layer may follow where membranes start."""
        return self.neuron.step_parameters()  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(x)
        return spikes * self.alive(spikes.shape[2:]).to(spikes)

    def alive(self, shape: torch.Size) -> Tensor:
        """Return 1 for each neuron `[C, ...]` that can fire, 0 for each dead one."""
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
    of_steps=True,
)
