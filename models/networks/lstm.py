"""A network of long short-term memory: the baseline for series and events."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from ...core.errors import ConfigError
from ..layers.lstm import Lstm, Standardised
from ..network import BuildContext, SpikingNetwork
from . import blocks


def lstm(ctx: BuildContext, *, features: list[int] | None = None) -> SpikingNetwork:
    """Build flatten, then an LSTM layer for each of `features`; readout.

    It has no spikes; `model.neuron` does not apply.

    Args:
        ctx: shapes and coding.
        features: F of each layer, (128,) by default.

    Raises:
        ConfigError: a number of features is not positive, or the neuron is that of an ANN
            counterpart.
    """
    if not getattr(ctx.make_neuron(1), "spiking", True):
        raise ConfigError(
            "lstm has no ANN counterpart",
            why=Lstm.without_ann or "",
            remedy="leave model.neuron out; as a teacher, name another run",
        )
    features = [128] if features is None else features
    if not features or min(features) < 1:
        raise ConfigError(f"features must be positive, not {features}")
    size, rank = math.prod(ctx.in_shape), len(ctx.in_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["input"] = Standardised(ctx.coding.analog_steps, mean=ctx.mean, std=ctx.std, rank=rank)
    for i, out in enumerate(features, start=1):
        layers[f"lstm{i}"] = Lstm(size, out)
        size = out
    layers["readout"] = blocks.readout(ctx, size)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))
