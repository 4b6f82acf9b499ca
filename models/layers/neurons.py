"""The neurons of a network, by the names of their layers, as `layer_outputs` names them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .spiking import SpikingLayer


def spiking_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """Return all neurons."""
    return {
        name.removeprefix("body."): layer.neuron
        for name, layer in network.named_modules()
        if isinstance(layer, SpikingLayer)
    }


def calibratable(network: nn.Module) -> dict[str, Any]:
    """Return the neurons that have an amplitude and calibrate it."""
    return {
        name: neuron
        for name, neuron in spiking_neurons(network).items()
        if isinstance(getattr(neuron, "amplitude", None), Tensor)
        and callable(getattr(neuron, "calibrate", None))
    }


def has_spikes(network: nn.Module) -> bool:
    """Return whether a network has spikes; the activations of ReLU calibrate amplitudes."""
    neurons = spiking_neurons(network).values()
    return any(getattr(neuron, "spiking", True) for neuron in neurons)
