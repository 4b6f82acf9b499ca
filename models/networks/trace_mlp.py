"""Linear layers that read traces of their inputs, for rules that learn from what a step knows."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from ...core.errors import ConfigError
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork


def trace_mlp(
    ctx: BuildContext,
    *,
    features: list[int] | None = None,
    bias: float = 0.0,
    readout_synapse: bool = True,
) -> SpikingNetwork:
    """Build flatten, then synapse → linear → neuron for each entry of `features`; readout.

    Unlike in `mlp` the synapse stands in front of the first layer as well, and there are no norms:
    what a layer sends at a step depends on that step and on filters of former ones.

    Args:
        ctx: shapes, coding, neuron and synapse.
        features: neurons of each layer, (128, 128) by default; with none the readout reads the
            input.
        bias: start value of the biases.
        readout_synapse: put a synapse in front of the readout too.

    Raises:
        ConfigError: a number of features is not positive.
    """
    features = [128, 128] if features is None else features
    if features and min(features) < 1:
        raise ConfigError(f"features must be positive, not {features}")
    size = math.prod(ctx.in_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(ctx.in_shape) > 1:
        layers["flatten"] = nn.Flatten(2)
    for i, out in enumerate(features, start=1):
        size = _add_synapse(layers, ctx, f"synapse{i}", size)
        linear = nn.Linear(size, out)
        nn.init.constant_(linear.bias, bias)
        layers[f"linear{i}"] = OverTime(linear)
        layers[f"spikes{i}"] = SpikingLayer(None, ctx.make_neuron(out))
        size = out
    if readout_synapse:
        size = _add_synapse(layers, ctx, "synapse", size)
    layers["readout"] = ctx.make_readout(size)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))


def _add_synapse(
    layers: OrderedDict[str, nn.Module], ctx: BuildContext, name: str, size: int
) -> int:
    """Add a synapse, if the network has any, and return how many values follow."""
    synapse = ctx.make_synapse(size)
    if synapse is None:
        return size
    layers[name] = synapse
    return synapse.outputs
