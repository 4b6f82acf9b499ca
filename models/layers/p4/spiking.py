"""Spiking layers whose norm and neuron are shared by the four rotations."""

from __future__ import annotations

from torch import Tensor, nn

from ....core.errors import ConfigError
from ...layer import synaptic_weights
from ...stepwise import Step, stepper
from ..spiking import SpikingLayer
from .sharing import ROTATIONS, Both, Make, side_by_side, stacked


class P4SpikingLayer(SpikingLayer):
    """Norm, neuron and pool of `[T, B, 4 C, H, W]`, with parameters and statistics by channel C.

    Norm and neuron see the rotations side by side, as an image of 4 W columns, and so are computed
    by the same kernels as in every spiking layer; the pool comes after them.

    Args:
        norm: builds the batch norm for a number of channels; None for no norm.
        neuron: builds the neuron.
        channels: C.
        pool: pooling of `[B, 4 C, H, W]`.

    Raises:
        ConfigError: a neuron of the image is not a function of its own input alone.
    """

    rotations = ROTATIONS

    def __init__(
        self, norm: Make | None, neuron: Make, channels: int, pool: nn.Module | None = None
    ) -> None:
        norms = None if norm is None else Both(norm, channels)
        neurons = Both(neuron, channels)
        _check(neurons.own)
        super().__init__(None if norms is None else norms.own, neurons.own, pool)
        self._norms, self._neurons = norms, neurons

    def _computed(self, x: Tensor) -> Tensor:
        return super()._computed(side_by_side(x))

    def arranged(self, spikes: Tensor) -> Tensor:
        return stacked(spikes)

    def _pool_of_kernels(self) -> None:
        return None

    def stepper(self) -> Step:
        norm = None if self.norm is None else stepper(self.norm)
        neuron = stepper(self.neuron)

        def step(x: Tensor) -> Tensor:
            of_channels = side_by_side(x.unsqueeze(0))[0]
            spikes = neuron(of_channels if norm is None else norm(of_channels))
            return self.sent(stacked(spikes.unsqueeze(0)))[0]

        return step

    def expanded(self) -> SpikingLayer:
        """Return the layer for 4 C channels that computes the same, with the same observers."""
        norm = None if self._norms is None else self._norms.expanded()
        found = SpikingLayer(norm, self._neurons.expanded(), self.pool)
        found.kernels, found.rotations = self.kernels, self.rotations
        found.spike_observers, found.count_observers = self.spike_observers, self.count_observers
        found.taps = self.taps
        return found.train(self.training)


def _check(neuron: nn.Module) -> None:
    if any(getattr(part, "draws", False) for part in neuron.modules()):
        raise ConfigError(
            "neurons that draw their spikes do not go with group p4",
            why="those of a turned image draw other numbers, so that the spikes are not turned",
            remedy="set neuron.noise=off, or model.group=none",
        )
    if any(synaptic_weights(part) for part in neuron.modules()):
        raise ConfigError(
            "neurons that are connected with each other do not go with group p4",
            why="their weights are not turned with the image",
            remedy="choose another model.neuron, or model.group=none",
        )
