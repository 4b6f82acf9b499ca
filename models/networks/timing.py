"""Networks of exact spike times."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import get_args

from torch import nn

from ...core.errors import ConfigError
from ..network import BuildContext, SpikingNetwork
from ..timing.layer import Law, TimingConv2d, TimingLayer, TimingLinear
from ..timing.neuron import TimingNeuron


def timing_mlp(
    ctx: BuildContext,
    *,
    features: list[int] | None = None,
    weight_mean: list[float] | None = None,
    weight_std: list[float] | None = None,
    weight_law: Law = "normal",
) -> SpikingNetwork:
    """Build linear layers of exact times, the last one with an output for each class; readout.

    Weights are drawn with the mean m/n and the deviation s/√n, n the inputs of a neuron.

    Args:
        ctx: shapes, coding, neuron and readout of exact times.
        features: neurons of each layer but the last, (400,) by default.
        weight_mean, weight_std: m and s of each layer; the last value is that of all further ones.
            By default (23.5, 3) and (2, 1.5): with them the first output of a network of images of
            28 × 28 fires near t = 1.
        weight_law: `normal`, or `uniform` with the same moments.

    Raises:
        ConfigError: an option out of range, or something without exact times.

    Source: arXiv 2003.11837.
    """
    features = [400] if features is None else features
    if not features or min(features) < 1:
        raise ConfigError(f"features must be positive, not {features}")
    require_times(ctx)
    size = math.prod(ctx.in_shape)
    layers: OrderedDict[str, TimingLayer] = OrderedDict()
    for i, out in enumerate([*features, ctx.classes], start=1):
        layers[f"timing{i}"] = TimingLinear(size, _neuron(ctx, out))
        size = out
    return _network(ctx, layers, weight_mean, weight_std, weight_law)


def timing_conv(
    ctx: BuildContext,
    *,
    widths: list[int] | None = None,
    kernel: int = 5,
    stride: int = 2,
    features: list[int] | None = None,
    weight_mean: list[float] | None = None,
    weight_std: list[float] | None = None,
    weight_law: Law = "normal",
) -> SpikingNetwork:
    """Build convolutions of exact times, then linear layers of them; readout.

    Args:
        ctx: shapes, coding, neuron and readout of exact times.
        widths: channels of each convolution, (16,) by default.
        kernel, stride: of the convolutions.
        features: neurons of each linear layer but the last; none by default.
        weight_mean, weight_std, weight_law: as of `timing_mlp`, by layer.

    Raises:
        ConfigError: an option out of range, or something without exact times.
    """
    widths, features = [16] if widths is None else widths, features or []
    if not widths or min(*widths, *features, 1) < 1:
        raise ConfigError(f"widths and features must be positive, not {widths} and {features}")
    require_times(ctx)
    channels, height, width, _ = ctx.in_shape
    layers: OrderedDict[str, TimingLayer] = OrderedDict()
    for out in widths:
        layer = TimingConv2d(channels, _neuron(ctx, out), kernel=kernel, stride=stride)
        height, width, channels = layer.size(height), layer.size(width), out
        if min(height, width) < 1:
            raise ConfigError(
                f"an image of {ctx.in_shape[1]} × {ctx.in_shape[2]} is too small for "
                f"{len(widths)} convolutions",
                why=f"each has a window of {kernel} and a stride of {stride}",
                remedy="set fewer model.widths, or a smaller model.kernel or model.stride",
            )
        layers[f"timing{len(layers) + 1}"] = layer
    size = channels * height * width
    for out in [*features, ctx.classes]:
        layers[f"timing{len(layers) + 1}"] = TimingLinear(size, _neuron(ctx, out))
        size = out
    return _network(ctx, layers, weight_mean, weight_std, weight_law)


def require_times(ctx: BuildContext) -> None:
    """Refuse a code or a readout that has no exact times.

    Raises:
        ConfigError: with what to choose.
    """
    if not ctx.coding.gives_times:
        raise ConfigError(
            f"a network of exact times cannot read the code {ctx.coding.name}",
            why="it gives time steps",
            remedy="set coding.name=times and coding.steps=1",
        )


def _neuron(ctx: BuildContext, channels: int) -> TimingNeuron:
    neuron = ctx.make_neuron(channels)
    if not isinstance(neuron, TimingNeuron):
        raise ConfigError(
            f"a network of exact times has neurons of exact times, not {type(neuron).__name__}",
            why="its layers have no time steps",
            remedy="set model.neuron=rel-psp or multi-spike",
        )
    return neuron


def _network(
    ctx: BuildContext,
    layers: OrderedDict[str, TimingLayer],
    mean: list[float] | None,
    std: list[float] | None,
    law: Law,
) -> SpikingNetwork:
    """Return the network of layers with drawn weights."""
    means, deviations = [23.5, 3.0] if mean is None else mean, [2.0, 1.5] if std is None else std
    if not means or not deviations or min(deviations) < 0:
        raise ConfigError(
            f"weight_mean and weight_std are {means} and {deviations}",
            why="they need a value for the first layer, weight_std none below 0",
        )
    if law not in get_args(Law):
        raise ConfigError(f"unknown weight_law {law!r}", why="choose from normal, uniform")
    for number, layer in enumerate(layers.values()):
        centre, deviation = (v[min(number, len(v) - 1)] for v in (means, deviations))
        layer.draw(centre, deviation, law)
    next(reversed(layers.values())).neuron.as_output()
    readout = ctx.make_readout(ctx.classes)
    if not getattr(readout, "reads_times", False):
        raise ConfigError(
            f"a network of exact times cannot have the readout {ctx.readout}",
            why="it reads time steps",
            remedy="set readout.name=earliest",
        )
    parts: OrderedDict[str, nn.Module] = OrderedDict(layers)
    parts["readout"] = readout
    return SpikingNetwork(ctx.coding, nn.Sequential(parts))
