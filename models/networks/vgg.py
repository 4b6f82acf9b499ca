"""Spiking VGG: convolutions one after another."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ..layers.norm import Norm, create_norm
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks
from .groups import Group, create_group

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
    group: Group = "none",
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
        group: `p4` for layers that commute with rotations by 90°; width and hidden are then those
            of one of the four rotations. The readout reads means over the last image and over the
            rotations.

    Raises:
        ConfigError: an unknown variant or group, a number that is not positive, or images that do
            not fit the group.

    Source: Simonyan and Zisserman, ICLR 2015; `vggsnn`: Deng et al., "Temporal efficient
    training", ICLR 2022.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"variant must be '11' or 'vggsnn', not {variant!r}")
    if min(width, *(hidden or [1])) < 1:
        raise ConfigError(f"width and hidden must be positive, not {width} and {hidden}")
    layout = create_group(group, ctx)
    channels, height, side = ctx.image_shape
    layers: dict[str, nn.Module] = {}
    stem = partial(stem_norm, ctx.coding, norm, image=True)
    later = partial(create_norm, norm, steps=ctx.steps, image=True)
    number = 0
    entries = VARIANTS[variant]
    for i, entry in enumerate(entries):
        window = (min(height, 2), min(side, 2))
        if entry == "pool":
            layout.check_windows(f"pool {number}", (height, side), window[0], stride=window[0])
            if variant == "vggsnn":
                layers[f"pool{number}"] = OverTime(nn.AvgPool2d(window))
            height, side = height // window[0], side // window[1]
            continue
        assert isinstance(entry, int)
        number += 1
        outputs = max(entry * width // 64, 1)
        if number == 1:
            conv = partial(layout.first, channels, outputs, 3, padding=1)
            layers["conv1"] = Stem(ctx.coding, conv, mean=ctx.mean, std=ctx.std)
        else:
            layers |= layout.synapse(f"synapse{number}", channels)
            layers[f"conv{number}"] = layout.conv(channels, outputs, 3, padding=1)
        # The fused kernels compute neuron and max-pool in one pass.
        pooled = variant == "11" and entries[i + 1] == "pool"
        pool = nn.MaxPool2d(window) if pooled else None
        layers[f"spikes{number}"] = layout.spiking(stem if number == 1 else later, outputs, pool)
        channels = outputs
    flat, features = layout.flat(channels, (height, side))
    layers |= flat
    size = (height, side)
    for i, outputs in enumerate(hidden or [], start=1):
        layers |= layout.synapse(f"synapse_linear{i}", features)
        layers[f"linear{i}"] = layout.linear(features, outputs, size, bias=True)
        layers[f"spikes_linear{i}"] = layout.spiking(None, outputs)
        features, size = outputs, (1, 1)
    layers |= layout.invariant(features, size)
    layers |= ctx.synapse("synapse", features)
    layers["readout"] = blocks.readout(ctx, features)
    return SpikingNetwork(ctx.coding, blocks.sequence(**layers))
