"""What networks of convolutions have in common: stem, layers over time, head."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import nn

from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm, TimeNorm, create_norm
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext
from ..readouts import Readout

StemForm = Literal["cifar", "imagenet"]


def sequence(**layers: nn.Module) -> nn.Sequential:
    """Return layers one after another, by name."""
    return nn.Sequential(OrderedDict(layers))


def conv(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, bias: bool = False
) -> OverTime:
    """Return a convolution of spikes over time, with zeros around the image: an odd kernel keeps
    its size, but for the stride."""
    return OverTime(
        SpikeConv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    )


def stem(
    ctx: BuildContext, make: Callable[[], nn.Module], channels: int, norm: Norm
) -> tuple[Stem, TimeNorm]:
    """Return the first weights and the batch norm behind them, dual where the code is hybrid.

    Args:
        ctx: tells code and normalisation.
        make: builds the weights, once for each kind of step.
        channels: that they give.
        norm: form of the batch norm.
    """
    return (
        Stem(ctx.coding, make, mean=ctx.mean, std=ctx.std),
        stem_norm(ctx.coding, norm, channels, image=True),
    )


def batch_norm(ctx: BuildContext, channels: int, norm: Norm) -> TimeNorm:
    """Return the batch norm of images over time."""
    return create_norm(norm, channels, steps=ctx.steps, image=True)


def normed_neuron(ctx: BuildContext, channels: int, norm: Norm) -> SpikingLayer:
    """Return batch norm and neuron, of images."""
    return SpikingLayer(batch_norm(ctx, channels, norm), ctx.make_neuron(channels))


def neuron(ctx: BuildContext, channels: int) -> SpikingLayer:
    """Return a neuron on its own."""
    return SpikingLayer(None, ctx.make_neuron(channels))


def global_avg_pool(size: tuple[int, int]) -> OverTime:
    """Return the mean of each channel over an image of that size."""
    return OverTime(nn.AvgPool2d(size))


def readout(ctx: BuildContext, features: int) -> Readout:
    """Return the layer that gives logits."""
    return Readout(features, ctx.classes, steps=ctx.steps, scaled=ctx.scaled)


def downsampled_size(size: int) -> int:
    """Return the size behind an odd kernel with stride 2 that keeps borders: ⌈size / 2⌉."""
    return (size + 1) // 2


# Names in 0.1.0, for plug-ins that were written for it.
mean_over_places, strided = global_avg_pool, downsampled_size
