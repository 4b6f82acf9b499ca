"""A recurrent network of leaky neurons, for series and events."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from ...core.errors import ConfigError
from ..layers.norm import Norm, create_norm
from ..layers.recurrent import Recurrent
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from ..neurons.leaky import AdaptiveLeaky


def rsnn(
    ctx: BuildContext,
    *,
    features: list[int] | None = None,
    norm: Norm | None = "folded",
) -> SpikingNetwork:
    """Build flatten, then linear → batch norm → recurrent neurons for each of `features`; readout.

    Args:
        ctx: shapes, coding and neuron.
        features: neurons of each layer, (128, 128) by default.
        norm: `folded`, `per-step` or `shared` batch norm; None for none.

    Raises:
        ConfigError: a number of features is not positive, or the neuron is not leaky.
    """
    features = [128, 128] if features is None else features
    if not features or min(features) < 1:
        raise ConfigError(f"features must be positive, not {features}")
    size, rank = math.prod(ctx.in_shape), len(ctx.in_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, out in enumerate(features, start=1):
        bias = norm is None  # a norm would subtract it
        if i == 1:

            def first(size: int = size, out: int = out, bias: bool = bias) -> nn.Module:
                return nn.Sequential(nn.Flatten(), nn.Linear(size, out, bias=bias))

            layers["linear1"] = Stem(ctx.coding, first, mean=ctx.mean, std=ctx.std, rank=rank)
            normed = norm and stem_norm(ctx.coding, norm, out, image=False)
        else:
            layers |= ctx.synapse(f"synapse{i}", size)
            layers[f"linear{i}"] = OverTime(nn.Linear(size, out, bias=bias))
            normed = norm and create_norm(norm, out, steps=ctx.steps, image=False)
        neuron = ctx.make_neuron(out)
        if not isinstance(neuron, AdaptiveLeaky):
            raise ConfigError(
                f"rsnn is a network of leaky neurons, not of {type(neuron).__name__}",
                why="the spikes of a step are input of the next",
                remedy="set model.neuron to adaptive or fixed",
            )
        layers[f"spikes{i}"] = SpikingLayer(normed or None, Recurrent(neuron, out))
        size = out
    layers |= ctx.synapse("synapse", size)
    layers["readout"] = ctx.make_readout(size)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))
