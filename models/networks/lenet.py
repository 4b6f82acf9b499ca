"""The LeNet of the ASNN paper."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm, create_norm
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork

POOLS = {"max": nn.MaxPool2d, "mean": nn.AvgPool2d}


def lenet(
    ctx: BuildContext,
    *,
    widths: list[int] | None = None,
    hidden: int = 256,
    norm: Norm = "folded",
    pool: Literal["max", "mean"] = "max",
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

    Raises:
        ConfigError: a width is not positive, or an unknown pool.

    Source: arXiv 2408.12407 and github.com/hhx0320/ASNN.
    """
    widths = [32, 48, 64] if widths is None else widths
    if not widths or min(*widths, hidden) < 1:
        raise ConfigError(f"widths and hidden must be positive, not {widths} and {hidden}")
    if pool not in POOLS:
        raise unknown("pool", pool, list(POOLS))
    channels, height, width = ctx.image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, out in enumerate(widths, start=1):

        def conv(channels: int = channels, out: int = out) -> nn.Conv2d:
            return SpikeConv2d(channels, out, 3, padding=1, bias=False)

        if i == 1:
            layers["conv1"] = Stem(ctx.coding, conv, mean=ctx.mean, std=ctx.std)
            normed = stem_norm(ctx.coding, norm, out, image=True)
        else:
            layers |= ctx.synapse(f"synapse{i}", channels)
            layers[f"conv{i}"] = OverTime(conv())
            normed = create_norm(norm, out, steps=ctx.steps, image=True)
        window = (min(height, 2), min(width, 2))
        layers[f"spikes{i}"] = SpikingLayer(normed, ctx.make_neuron(out), POOLS[pool](window))
        channels, height, width = out, height // window[0], width // window[1]
    layers |= ctx.synapse(f"synapse{len(widths) + 1}", channels)
    layers["flatten"] = nn.Flatten(2)
    layers["linear"] = OverTime(nn.Linear(channels * height * width, hidden, bias=False))
    layers[f"spikes{len(widths) + 1}"] = SpikingLayer(
        create_norm(norm, hidden, steps=ctx.steps, image=False), ctx.make_neuron(hidden)
    )
    layers |= ctx.synapse("synapse", hidden)
    layers["readout"] = ctx.make_readout(hidden)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))
