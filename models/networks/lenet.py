"""The LeNet of the ASNN paper."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.norm import Norm, create_norm
from ..layers.stem import Stem, stem_norm
from ..network import BuildContext, SpikingNetwork
from .groups import Group, create_group

POOLS = {"max": nn.MaxPool2d, "mean": nn.AvgPool2d}


def lenet(
    ctx: BuildContext,
    *,
    widths: list[int] | None = None,
    hidden: int = 256,
    norm: Norm = "folded",
    pool: Literal["max", "mean"] = "max",
    group: Group = "none",
) -> SpikingNetwork:
    """Build conv 3×3 → batch norm → neuron → pool 2, for each width; linear; readout.

    The convolutions and linear layers before a batch norm have no bias: the norm would subtract
    it. An axis of size 1 is not pooled.

    Args:
        ctx: shapes, coding and neuron.
        widths: channels of each convolution, (32, 48, 64) by default.
        hidden: features of the linear layer.
        norm: `folded`, `per-step` or `shared` batch norm.
        pool: `max`, as published, or `mean`: the mean over the steps of a max-pool of spikes is not
            the maximum of their means, so the weights of an ANN go over better with means.
        group: `p4` for layers that commute with rotations by 90°; widths and hidden are then those
            of one of the four rotations.

    Raises:
        ConfigError: a width is not positive, an unknown pool or group, or images that do not fit
            the group.

    Source: arXiv 2408.12407 and github.com/hhx0320/ASNN.
    """
    widths = [32, 48, 64] if widths is None else widths
    if not widths or min(*widths, hidden) < 1:
        raise ConfigError(f"widths and hidden must be positive, not {widths} and {hidden}")
    if pool not in POOLS:
        raise unknown("pool", pool, list(POOLS))
    layout = create_group(group, ctx)
    channels, height, width = ctx.image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    stem = partial(stem_norm, ctx.coding, norm, image=True)
    later = partial(create_norm, norm, steps=ctx.steps, image=True)
    features = partial(create_norm, norm, steps=ctx.steps, image=layout.images)
    for i, out in enumerate(widths, start=1):
        if i == 1:
            conv = partial(layout.first, channels, out, 3, padding=1, bias=False)
            layers["conv1"] = Stem(ctx.coding, conv, mean=ctx.mean, std=ctx.std)
        else:
            layers |= layout.synapse(f"synapse{i}", channels)
            layers[f"conv{i}"] = layout.conv(channels, out, 3, padding=1, bias=False)
        window = (min(height, 2), min(width, 2))
        layout.check_windows(f"pool {i}", (height, width), window[0], stride=window[0])
        made = POOLS[pool](window)
        layers[f"spikes{i}"] = layout.spiking(stem if i == 1 else later, out, made)
        channels, height, width = out, height // window[0], width // window[1]
    layers |= layout.synapse(f"synapse{len(widths) + 1}", channels)
    flat, inputs = layout.flat(channels, (height, width))
    layers |= flat
    layers["linear"] = layout.linear(inputs, hidden, (height, width), bias=False)
    layers[f"spikes{len(widths) + 1}"] = layout.spiking(features, hidden)
    layers |= layout.invariant(hidden, (1, 1))
    layers |= ctx.synapse("synapse", hidden)
    layers["readout"] = ctx.make_readout(hidden)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))
