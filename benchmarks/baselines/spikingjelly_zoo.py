"""The networks that SpikingJelly ships itself, `spikingjelly.activation_based.model`.

Both are built from its own classes, with the neuron of the other baselines; differences from asnn's
network are removed by SpikingJelly's own means and documented below. Its Spikformer computes
queries, keys and values in one product, and Q (Kᵀ V), as its tutorial recommends.
"""

# Only the extra `bench` installs it.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..case import Case

HEAD_CHANNELS = 32
SCALE = 0.25
# Its neurons fire at the threshold, asnn's only above it. Attention sums spikes, so membranes reach
# the threshold exactly; this scale keeps those below it and changes no other comparison.
MATCHED_SCALE = SCALE * (1 - 1e-6)


def ms_resnet(case: Case) -> nn.Module:
    """Return its MS-ResNet-18 for small images: a 3×3 stem, and a first stage without stride.

    Its own `max_resnet18` for CIFAR does the same. It returns the mean of the logits.
    """
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.model.ms_resnet import MSResNet

    from .spikingjelly import neuron_options

    class CifarResNet(MSResNet):
        _first_stage_stride = 1

    return CifarResNet(
        T=case.steps,
        in_channels=case.in_shape[0],
        num_classes=case.classes,
        layers=(2, 2, 2, 2),
        base_channels=case.spec.options["width"],
        stem_kernel_size=3,
        stem_stride=1,
        spiking_neuron=neuron.ParametricLIFNode,
        **neuron_options(),
    )


def spikformer(case: Case, *, matched: bool = False) -> nn.Module:
    """Return its Spikformer for patches of 4×4, changed to match the code published for CIFAR.

    The published code pools spikes instead of the inputs of neurons, and its linear layers have
    biases. A scale of 1/4 in the attention with threshold 1 equals 1/8 with threshold 1/2.

    Args:
        case: the network to build.
        matched: attention does not fire at the threshold.
    """
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.model.spikformer import Spikformer

    from .spikingjelly import neuron_options

    depth, dim = map(int, case.spec.options["size"].split("-"))
    channels, height, width = case.in_shape
    net: Any = Spikformer(
        T=case.steps,
        in_channels=channels,
        img_size_h=height,
        img_size_w=width,
        patch_size=4,
        num_classes=case.classes,
        embed_dims=dim,
        num_heads=max(dim // HEAD_CHANNELS, 1),
        depths=depth,
        spiking_neuron=neuron.ParametricLIFNode,
        **neuron_options(),
    )
    for i, stage in enumerate(net.patch_embed.stages):
        if isinstance(stage.conv_bn.block[-1], nn.MaxPool2d):
            del stage.conv_bn.block[-1]
            pool = layer.MaxPool2d(kernel_size=3, stride=2, padding=1)
            net.patch_embed.stages[i] = nn.Sequential(stage, pool)
    for block in net.blocks:
        block.attn.scale = MATCHED_SCALE if matched else SCALE
        for linear in block.modules():
            if isinstance(linear, nn.Conv1d):
                linear.bias = nn.Parameter(torch.zeros(linear.out_channels))
    return net
