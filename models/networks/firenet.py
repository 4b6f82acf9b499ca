"""FireNet: optical flow at every pixel, by spiking convolutions with recurrent blocks."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from ...core.errors import ConfigError
from ..layers.convolution import SpikeConv2d
from ..layers.feedback import FeedbackLayer
from ..layers.stem import Stem
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from ..neurons.relu import Relu
from ..readouts.flow import FlowReadout

BLOCKS = 2
OUTPUTS = 2  # the flow to the right and down


def firenet(
    ctx: BuildContext, *, width: int = 32, limit: float = 16.0, gain: float = 6.0
) -> SpikingNetwork:
    """Build head, then two blocks of a recurrent layer and two others; the flow of each pixel.

    All layers are 3×3 convolutions at full resolution with a bias, without norms. In the ANN
    counterpart ReLU takes the place of the neurons: it has no states, but the two recurrent layers
    still read what they sent a step before.

    Args:
        ctx: shapes, coding and neuron; `lif`, `alif`, `plif`, `xlif` or `relu`.
        width: channels of all layers.
        limit: the largest flow along an axis, in pixels over the duration of a recording.
        gain: factor of the start weights of the convolutions, which are uniform within
            ±1/√(inputs of an output). At 1, as published, the deeper LIF layers stay silent in
            trainings of minutes. With ReLU it is at most √6, with which values keep their size.

    Raises:
        ConfigError: an option that is not positive, other neurons, another task than flow.

    Source: arXiv 2106.01862, after Scheerlinck et al., WACV 2020. The widths there are 32.
    """
    if width < 1:
        raise ConfigError(f"width must be positive, not {width}")
    for key, value in (("limit", limit), ("gain", gain)):
        if not 0 < value < float("inf"):
            raise ConfigError(f"{key} must be above 0 and finite, not {value}")
    if ctx.classes != OUTPUTS:
        raise ConfigError(
            f"firenet has two outputs at each pixel, the flow, not {ctx.classes}",
            why="its readout is for optical flow",
            remedy="set task.name=flow, or choose another model.name",
        )
    if ctx.readout != "mean":
        raise ConfigError(
            f"firenet has a readout of its own, not {ctx.readout}",
            why="its answer is the mean of the flow over the steps",
            remedy="leave readout.name out",
        )
    channels = ctx.image_shape[0]
    conv = partial(SpikeConv2d, kernel_size=3, padding=1)
    head = Stem(ctx.coding, partial(conv, channels, width), mean=ctx.mean, std=ctx.std)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["head"] = FeedbackLayer(head, ctx.make_neuron(width))
    for block in range(1, BLOCKS + 1):
        for name in (f"g{block}", f"r{block}a", f"r{block}b"):
            recurrent = conv(width, width, bias=False) if name.startswith("g") else None
            layers[name] = FeedbackLayer(
                OverTime(conv(width, width)), ctx.make_neuron(width), recurrent
            )
    for layer in layers.values():
        assert isinstance(layer, FeedbackLayer)
        _enlarge(layer, gain)
    layers["readout"] = FlowReadout(width, steps=ctx.steps, limit=limit)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))


def _enlarge(layer: FeedbackLayer, gain: float) -> None:
    """Multiply the start weights of a layer."""
    if isinstance(layer.neuron, Relu):
        gain = min(gain, math.sqrt(6))
    with torch.no_grad():
        for part in layer.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.mul_(gain)
