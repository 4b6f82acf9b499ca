"""A network of linear layers."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from ...core.errors import ConfigError
from ..layers.norm import Norm, create_norm
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork


def mlp(
    ctx: BuildContext,
    *,
    features: list[int] | None = None,
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build flatten, then linear → batch norm → neuron for each entry of `features`; readout.

    Args:
        ctx: shapes, coding and neuron.
        features: neurons of each layer, (256, 256) by default.
        norm: `folded`, `per-step` or `shared` batch norm.

    Raises:
        ConfigError: a number of features is not positive.
    """
    features = [256, 256] if features is None else features
    if not features or min(features) < 1:
        raise ConfigError(f"features must be positive, not {features}")
    size = math.prod(ctx.in_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, out in enumerate(features, start=1):
        if i == 1:

            def linear(size: int = size, out: int = out) -> nn.Module:
                return nn.Sequential(nn.Flatten(), nn.Linear(size, out, bias=False))

            rank = len(ctx.in_shape)
            layers["linear1"] = Stem(ctx.coding, linear, mean=ctx.mean, std=ctx.std, rank=rank)
            normed = stem_norm(ctx.coding, norm, out, image=False)
        else:
            layers |= ctx.synapse(f"synapse{i}", size)
            layers[f"linear{i}"] = OverTime(nn.Linear(size, out, bias=False))
            normed = create_norm(norm, out, steps=ctx.steps, image=False)
        layers[f"spikes{i}"] = SpikingLayer(normed, ctx.make_neuron(out))
        size = out
    layers |= ctx.synapse("synapse", size)
    layers["readout"] = ctx.make_readout(size)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))
