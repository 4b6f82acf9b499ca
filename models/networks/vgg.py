"""Spiking VGG: convolutions one after another."""

from __future__ import annotations

from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm, create_norm
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks

# Channels of each convolution; "pool" halves the size.
VARIANTS: dict[str, tuple[int | str, ...]] = {
    "11": (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"),
    "vggsnn": (64, 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool"),
}


def vgg(
    ctx: BuildContext,
    *,
    variant: Literal["11", "vggsnn"] = "11",
    width: int = 64,
    hidden: list[int] | None = None,
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build conv 3×3 → batch norm → neuron, with pools in between; linear → neuron; readout.

    Convolutions have a bias, as in the published networks. An axis of size 1 is not pooled.

    Args:
        ctx: shapes, coding and neuron.
        variant: `11` has max-pools; `vggsnn`, from work on event cameras, average pools.
        width: channels of the first convolution, 64 in the published networks; the others scale
            with it.
        hidden: features of linear layers with neurons, none by default; [4096, 4096] in the VGG-11
            for ImageNet.
        norm: `folded`, `per-step` or `shared` batch norm of the convolutions.

    Raises:
        ConfigError: an unknown variant, or a number that is not positive.

    Source: Simonyan and Zisserman, ICLR 2015; `vggsnn`: Deng et al., "Temporal efficient
    training", ICLR 2022.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"variant must be '11' or 'vggsnn', not {variant!r}")
    if min(width, *(hidden or [1])) < 1:
        raise ConfigError(f"width and hidden must be positive, not {width} and {hidden}")
    channels, height, side = ctx.image_shape
    layers: dict[str, nn.Module] = {}
    number = 0
    entries = VARIANTS[variant]
    for i, entry in enumerate(entries):
        window = (min(height, 2), min(side, 2))
        if entry == "pool":
            if variant == "vggsnn":
                layers[f"pool{number}"] = OverTime(nn.AvgPool2d(window))
            height, side = height // window[0], side // window[1]
            continue
        assert isinstance(entry, int)
        number += 1
        outputs = max(entry * width // 64, 1)

        def make(channels: int = channels, outputs: int = outputs) -> nn.Conv2d:
            return SpikeConv2d(channels, outputs, 3, padding=1)

        if number == 1:
            layers["conv1"] = Stem(ctx.coding, make, mean=ctx.mean, std=ctx.std)
            normed = stem_norm(ctx.coding, norm, outputs, image=True)
        else:
            layers |= ctx.synapse(f"synapse{number}", channels)
            layers[f"conv{number}"] = OverTime(make())
            normed = create_norm(norm, outputs, steps=ctx.steps, image=True)
        # The fused kernels compute neuron and max-pool in one pass.
        pooled = variant == "11" and entries[i + 1] == "pool"
        pool = nn.MaxPool2d(window) if pooled else None
        layers[f"spikes{number}"] = SpikingLayer(normed, ctx.make_neuron(outputs), pool)
        channels = outputs
    layers["flatten"] = nn.Flatten(2)
    features = channels * height * side
    for i, outputs in enumerate(hidden or [], start=1):
        layers |= ctx.synapse(f"synapse_linear{i}", features)
        layers[f"linear{i}"] = OverTime(nn.Linear(features, outputs))
        layers[f"spikes_linear{i}"] = blocks.neuron(ctx, outputs)
        features = outputs
    layers |= ctx.synapse("synapse", features)
    layers["readout"] = blocks.readout(ctx, features)
    return SpikingNetwork(ctx.coding, blocks.sequence(**layers))
