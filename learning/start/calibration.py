"""Calibration: the amplitudes of spikes from the activations of an ANN on a fixed batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ...datasets import DataSet
from ...datasets.first_samples import first_samples
from ...models.layers.neurons import calibratable, spiking_neurons
from ...models.network import SpikingNetwork

MAX_BYTES = 1 << 30  # of activations that are held at once


@torch.no_grad()
def calibrate(
    network: SpikingNetwork,
    ann: SpikingNetwork,
    data: DataSet,
    *,
    rule: str,
    samples: int,
    device: torch.device,
    workers: int = 0,
) -> list[str]:
    """Set the amplitudes of a network by the activations of an ANN with layers of the same names.

    The batch is the first training samples in their stored order, without augmentation; the ANN
    runs in evaluation mode. Activations are those of the neurons, before a pool: what a neuron can
    send is bounded, not the mean of several. Layers are calibrated in groups whose activations fit
    into memory; the ANN runs once for each group.

    Args:
        network: its neurons with `amplitude` and `calibrate` are calibrated.
        ann: on `device`.
        data: the data set.
        rule: `mse`, `max` or `quantile`, see `asnn.models.neurons.ranges`.
        samples: number of samples.
        device: of both networks.
        workers: processes that load samples from disk.

    Returns:
        The names of the layers that were calibrated.
    """
    neurons = calibratable(network)
    ann = ann.eval()
    generators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(generators):
        for group in _groups(list(neurons), ann, data, samples, device):
            torch.manual_seed(0)  # a random code gives the same steps to each group
            found: dict[str, list[Tensor]] = {name: [] for name in group}
            with _activations(ann, group) as outputs:
                for x, size in first_samples(data, samples, device, workers):
                    ann(x)
                    for name in group:
                        found[name].append(outputs[name][:, :size])
                    outputs.clear()
            for name in group:
                neurons[name].calibrate(torch.cat(found.pop(name), 1), rule)
    return list(neurons)


def learned_limits(network: SpikingNetwork, ann: SpikingNetwork) -> dict[str, Tensor]:
    """Return the greatest activations that neurons of an ANN have learned, their `limit`, by the
    name of their layer: those of layers whose neurons in the network can use them."""
    found = {}
    of_ann = spiking_neurons(ann)
    for name, neuron in calibratable(network).items():
        limit = getattr(of_ann.get(name), "limit", None)
        if isinstance(limit, Tensor) and callable(getattr(neuron, "use_limit", None)):
            found[name] = limit.detach()
    return found


@contextmanager
def _activations(ann: SpikingNetwork, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the neurons of layers send, `[T, B, C, ...]` by layer, of the last forward pass.

    The neurons of an ANN are modules of their own: no fused kernel computes them.
    """
    outputs: dict[str, Tensor] = {}
    neurons = spiking_neurons(ann)
    hooks = [
        neurons[name].register_forward_hook(
            lambda *call, name=name: outputs.__setitem__(name, call[-1])
        )
        for name in names
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _groups(
    names: list[str], ann: SpikingNetwork, data: DataSet, samples: int, device: torch.device
) -> list[list[str]]:
    """Return the layers in groups whose activations of all samples fit into MAX_BYTES."""
    x, _ = next(first_samples(data, 1, device))
    with _activations(ann, names) as outputs:
        ann(x)
        sizes = {
            name: outputs[name].element_size() * outputs[name].numel() // len(x) for name in names
        }
    groups: list[list[str]] = []
    room = 0
    for name in names:
        needed = sizes[name] * samples
        if not groups or needed > room:
            groups.append([])
            room = MAX_BYTES
        groups[-1].append(name)
        room -= needed
    return groups
