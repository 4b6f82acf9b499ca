"""Spikformer: a transformer whose queries, keys and values are spikes."""

from __future__ import annotations

import re

from torch import nn

from ...core.errors import ConfigError
from ..layers.attention import SelfAttention
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm
from ..layers.residual import Residual
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks
from .blocks import StemForm

MAX_DEPTH = 1_000  # blocks
HEAD = 32  # channels of a head in the published networks for CIFAR
SCALE = 0.25
POOLS = {"cifar": 2, "imagenet": 4}


def spikformer(
    ctx: BuildContext,
    *,
    size: str = "4-384",
    heads: int | None = None,
    ratio: int = 4,
    stem: StemForm = "cifar",
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build a stem of convolutions, blocks of attention and two layers, mean over pixels, readout.

    Tokens are the pixels of the stem's output, and linear layers of tokens are 1×1 convolutions.
    Queries, keys and values come from one convolution and one layer of neurons. The published code
    has an attention scale of 1/8 and a threshold of 1/2; here they are 1/4 and 1, which gives the
    same spikes.

    Args:
        ctx: shapes, coding and neuron.
        size: `DEPTH-DIM`, such as `4-384`: number of blocks, and channels D of a token.
        heads: number of attention heads; by default each has 32 channels.
        ratio: channels between a block's two layers, as a multiple of D.
        stem: `cifar` halves the size twice; `imagenet` four times, and its queries, keys and
            values have no bias.
        norm: `folded`, `per-step` or `shared` batch norm.

    Raises:
        ConfigError: a size of another form, or channels that heads or stem cannot divide.

    Source: Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023,
    and github.com/ZK-Zhou/spikformer.
    """
    found = re.fullmatch(r"([1-9]\d*)-([1-9]\d*)", size)
    if not found:
        raise ConfigError(
            f"size must be DEPTH-DIM, not {size!r}",
            remedy="for example 4-384: 4 blocks of 384 channels",
        )
    depth, dim = int(found[1]), int(found[2])
    heads = max(dim // HEAD, 1) if heads is None else heads
    if dim % 8 or heads < 1 or dim % heads:
        raise ConfigError(
            f"{dim} channels cannot be divided into {heads} heads and the stem's eighths",
            remedy="choose a multiple of 32",
        )
    if not 1 <= depth <= MAX_DEPTH:
        raise ConfigError(f"{depth} blocks are not between 1 and {MAX_DEPTH}")
    if ratio < 1:
        raise ConfigError(f"ratio must be at least 1, not {ratio}")
    layers, grid = _stem(ctx, dim, POOLS[stem], norm)
    for i in range(1, depth + 1):
        layers[f"attention{i}"] = _attention(ctx, dim, heads, norm, bias=stem == "cifar")
        layers[f"mlp{i}"] = _two_layers(ctx, dim, ratio * dim, norm)
    layers["mean"] = blocks.global_avg_pool(grid)
    layers["flatten"] = nn.Flatten(2)
    layers |= ctx.synapse("synapse", dim)
    layers["readout"] = blocks.readout(ctx, dim)
    return SpikingNetwork(ctx.coding, blocks.sequence(**layers))


def _stem(
    ctx: BuildContext, dim: int, pools: int, norm: Norm
) -> tuple[dict[str, nn.Module], tuple[int, int]]:
    """Return the stem and the size of its output.

    It has four convolutions, of which the last `pools` are pooled, and one for the position.
    """
    layers: dict[str, nn.Module] = {}
    channels, height, width = ctx.image_shape
    for i, outputs in enumerate((dim // 8, dim // 4, dim // 2, dim), start=1):
        if i == 1:

            def make(inputs: int = channels, outputs: int = outputs) -> nn.Module:
                return SpikeConv2d(inputs, outputs, 3, padding=1, bias=False)

            layers["conv1"] = Stem(ctx.coding, make, mean=ctx.mean, std=ctx.std)
            normed = stem_norm(ctx.coding, norm, outputs, image=True)
            layers["spikes1"] = SpikingLayer(normed, ctx.make_neuron(outputs))
        else:
            layers |= ctx.synapse(f"synapse{i}", channels)
            layers[f"conv{i}"] = blocks.conv(channels, outputs)
            layers[f"spikes{i}"] = blocks.normed_neuron(ctx, outputs, norm)
        if i > 4 - pools:
            layers[f"pool{i}"] = OverTime(nn.MaxPool2d(3, stride=2, padding=1))
            height, width = blocks.downsampled_size(height), blocks.downsampled_size(width)
        channels = outputs
    layers["position"] = Residual(
        blocks.sequence(
            **ctx.synapse("synapse", dim),
            conv=blocks.conv(dim, dim),
            spikes=blocks.normed_neuron(ctx, dim, norm),
        )
    )
    return layers, (height, width)


def _attention(ctx: BuildContext, dim: int, heads: int, norm: Norm, *, bias: bool) -> Residual:
    return Residual(
        blocks.sequence(
            **ctx.synapse("synapse_qkv", dim),
            qkv=blocks.conv(dim, 3 * dim, 1, bias=bias),
            spikes_qkv=blocks.normed_neuron(ctx, 3 * dim, norm),
            attention=SelfAttention(heads, SCALE),
            spikes_attention=blocks.neuron(ctx, dim),
            **ctx.synapse("synapse_projection", dim),
            projection=blocks.conv(dim, dim, 1, bias=True),
            spikes_projection=blocks.normed_neuron(ctx, dim, norm),
        )
    )


def _two_layers(ctx: BuildContext, dim: int, hidden: int, norm: Norm) -> Residual:
    return Residual(
        blocks.sequence(
            **ctx.synapse("synapse1", dim),
            linear1=blocks.conv(dim, hidden, 1, bias=True),
            spikes1=blocks.normed_neuron(ctx, hidden, norm),
            **ctx.synapse("synapse2", hidden),
            linear2=blocks.conv(hidden, dim, 1, bias=True),
            spikes2=blocks.normed_neuron(ctx, dim, norm),
        )
    )
