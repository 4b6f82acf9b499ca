"""Building blocks of networks: stem, layers over time, readout."""

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
    """Return a sequence of named layers."""
    return nn.Sequential(OrderedDict(layers))


def conv(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, bias: bool = False
) -> OverTime:
    """Return a convolution of spikes over time, padded by half its kernel: an odd kernel with
    stride 1 keeps the size of the image."""
    return OverTime(
        SpikeConv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    )


def stem(
    ctx: BuildContext, make: Callable[[], nn.Module], channels: int, norm: Norm
) -> tuple[Stem, TimeNorm]:
    """Return the stem and the batch norm after it, both dual with a hybrid code.

    Args:
        ctx: gives coding, mean and std.
        make: builds the affine layer, once for each kind of step (analog, spikes).
        channels: output channels.
        norm: form of the batch norm.
    """
    return (
        Stem(ctx.coding, make, mean=ctx.mean, std=ctx.std),
        stem_norm(ctx.coding, norm, channels, image=True),
    )


def linear(inputs: int, outputs: int, *, bias: bool = False) -> OverTime:
    """Return a linear layer over time, of `[T, B, F]`."""
    return OverTime(nn.Linear(inputs, outputs, bias=bias))


def batch_norm(ctx: BuildContext, channels: int, norm: Norm, *, image: bool = True) -> TimeNorm:
    """Return batch norm of `[T, B, C, H, W]`, or of features `[T, B, F]` if not `image`."""
    return create_norm(norm, channels, steps=ctx.steps, image=image)


def normed_neuron(
    ctx: BuildContext, channels: int, norm: Norm, *, image: bool = True
) -> SpikingLayer:
    """Return batch norm and neuron of `[T, B, C, H, W]`, or of `[T, B, F]` if not `image`."""
    return SpikingLayer(batch_norm(ctx, channels, norm, image=image), ctx.make_neuron(channels))


def neuron(ctx: BuildContext, channels: int) -> SpikingLayer:
    """Return a neuron without a norm."""
    return SpikingLayer(None, ctx.make_neuron(channels))


def global_avg_pool(size: tuple[int, int]) -> OverTime:
    """Return the mean of each channel over images of `size`."""
    return OverTime(nn.AvgPool2d(size))


def readout(ctx: BuildContext, features: int) -> Readout:
    """Return the readout: features to logits."""
    return ctx.make_readout(features)


def downsampled_size(size: int) -> int:
    """Return the size after a padded odd kernel with stride 2: ⌈size / 2⌉."""
    return (size + 1) // 2


# Names in 0.1.0, for plug-ins.
mean_over_places, strided = global_avg_pool, downsampled_size
