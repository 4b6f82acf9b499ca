"""SEW-ResNet: residual networks whose shortcuts carry spikes, joined element by element."""

from __future__ import annotations

from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm
from ..layers.residual import Join, Residual
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks
from .blocks import StemForm

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


def sew_resnet(
    ctx: BuildContext,
    *,
    depth: Literal[18, 34] = 18,
    width: int = 64,
    connect: Join = "add",
    stem: StemForm = "cifar",
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build a stem, blocks join(neuron(norm(conv(neuron(norm(conv(x)))))), x), mean, readout.

    With `add` the values between blocks are sums of spikes, whole numbers; with `and` and `iand`
    they are spikes.

    Args:
        ctx: shapes, coding and neuron.
        depth: 18 or 34.
        width: channels of the first stage; each stage doubles them.
        connect: `add`, `and` or `iand`: how a block is joined with its shortcut.
        stem: `cifar` keeps the size; `imagenet` halves it twice, by a stride and a max-pool.
        norm: `folded`, `per-step` or `shared` batch norm.

    Raises:
        ConfigError: an unknown depth, or a width that is not positive.

    Source: Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021.
    """
    if depth not in STAGES:
        raise ConfigError(f"depth must be 18 or 34, not {depth}")
    if width < 1:
        raise ConfigError(f"width must be positive, not {width}")
    channels, height, side = ctx.image_shape
    large = stem == "imagenet"

    def make(inputs: int = channels) -> nn.Module:
        if large:
            return SpikeConv2d(inputs, width, 7, stride=2, padding=3, bias=False)
        return SpikeConv2d(inputs, width, 3, padding=1, bias=False)

    first, normed = blocks.stem(ctx, make, width, norm)
    layers: dict[str, nn.Module] = {
        "stem": first,
        "spikes": SpikingLayer(normed, ctx.make_neuron(width)),
    }
    if large:
        layers["pool"] = OverTime(nn.MaxPool2d(3, stride=2, padding=1))
        height, side = (
            blocks.downsampled_size(blocks.downsampled_size(size)) for size in (height, side)
        )
    channels, number = width, 0
    for i, count in enumerate(STAGES[depth]):
        for j in range(count):
            stride = 2 if i > 0 and j == 0 else 1
            number += 1
            layers[f"block{number}"] = _block(ctx, channels, width * 2**i, stride, connect, norm)
            channels = width * 2**i
        if i > 0:
            height, side = blocks.downsampled_size(height), blocks.downsampled_size(side)
    layers["mean"] = blocks.global_avg_pool((height, side))
    layers["flatten"] = nn.Flatten(2)
    layers |= ctx.synapse("synapse", channels)
    layers["readout"] = blocks.readout(ctx, channels)
    return SpikingNetwork(ctx.coding, blocks.sequence(**layers))


def _block(
    ctx: BuildContext, inputs: int, outputs: int, stride: int, connect: Join, norm: Norm
) -> Residual:
    main = blocks.sequence(
        **ctx.synapse("synapse1", inputs),
        conv1=blocks.conv(inputs, outputs, stride=stride),
        spikes1=blocks.normed_neuron(ctx, outputs, norm),
        **ctx.synapse("synapse2", outputs),
        conv2=blocks.conv(outputs, outputs),
        spikes2=blocks.normed_neuron(ctx, outputs, norm),
    )
    shortcut: dict[str, nn.Module] = {}
    if stride != 1 or inputs != outputs:
        shortcut |= ctx.synapse("synapse", inputs)
        shortcut["conv"] = blocks.conv(inputs, outputs, 1, stride=stride)
        shortcut["spikes"] = blocks.normed_neuron(ctx, outputs, norm)
    return Residual(main, blocks.sequence(**shortcut), connect)
