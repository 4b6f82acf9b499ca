"""The amplitude of a spiking layer by the activations for the input that it really has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ....datasets.first_samples import first_samples
from ....models.layers.spiking import SpikingLayer
from .chain import Chain
from .network import FrozenLayers, analog_output, as_ann, step_means


@torch.no_grad()
def calibrate_block(training: Any, chain: Chain, block: int) -> None:
    """Set the amplitude V of a block by its activations a, as `train.calibrate` finds their range.

        a = relu(W c + b)        c: the means over the steps of the spiking blocks before it

    W and b have the norm folded in, by its running statistics; a is before the pool. The batch is
    the first `train.calibrate_samples` training samples in stored order, without augmentation. A
    code that draws random numbers draws the same ones each time.

    Args:
        training: its recipe, data and device.
        chain: of the layers of its network.
        block: its number, from 0.
    """
    train = training.recipe.train
    if train.calibrate == "none":
        return
    name = list(chain.blocks)[block]
    neuron: Any = chain.blocks[name][name].neuron
    frozen = FrozenLayers(chain.before(block + 1)).layers()
    spiking, own = frozen[: len(chain.before(block))], frozen[len(chain.before(block)) :]
    layers = list(as_ann({str(at): layer for at, layer in enumerate(own)}).values())
    layer = layers[-1]
    assert isinstance(layer, SpikingLayer)
    layer.pool = None
    coding = training.model.coding
    found: list[Tensor] = []
    generators = [training.device] if training.device.type == "cuda" else []
    with torch.random.fork_rng(generators):
        torch.manual_seed(0)
        for x, size in first_samples(
            training.data, train.calibrate_samples, training.device, train.workers
        ):
            value = step_means(spiking, coding.each_step(x))[-1] if block else None  # type: ignore[arg-type]
            found.append(analog_output(layers, value, coding.each_step(x))[:, :size])  # type: ignore[arg-type]
    neuron.calibrate(torch.cat(found, 1), train.calibrate)
