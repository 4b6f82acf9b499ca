"""Three layers of convolution, the third around a shortcut of spikes."""

from torch import nn

from asnn.core import ConfigError
from asnn.models import Blueprint, SpikingNetwork, blocks
from asnn.models.convolution import SpikeConv2d
from asnn.models.layers import SpikingLayer
from asnn.models.residual import Residual


def shortcut_net(plan: Blueprint, *, width: int = 16) -> SpikingNetwork:
    """Build stem → neuron, conv with stride 2 → neuron, x + neuron(conv(x)), mean, readout."""
    if width < 1:
        raise ConfigError(f"width must be positive, not {width}")
    channels, height, side = plan.in_shape

    def first() -> nn.Module:  # called once for each kind of step that the code has
        return SpikeConv2d(channels, width, 3, padding=1, bias=False)

    stem, norm = blocks.stem(plan, first, width, "folded")
    body = blocks.sequence(
        stem=stem,
        spikes1=SpikingLayer(norm, plan.make_neuron(width)),
        conv2=blocks.conv(width, width, stride=2),
        spikes2=blocks.normed_neuron(plan, width, "folded"),
        block=Residual(
            blocks.sequence(
                conv=blocks.conv(width, width),
                spikes=blocks.normed_neuron(plan, width, "folded"),
            )
        ),
        mean=blocks.mean_over_places((blocks.strided(height), blocks.strided(side))),
        flatten=nn.Flatten(2),
        readout=blocks.readout(plan, width),
    )
    return SpikingNetwork(plan.coding, body)
