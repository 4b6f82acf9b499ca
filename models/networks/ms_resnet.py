"""MS-ResNet: residual networks whose shortcuts carry the inputs of neurons, not spikes."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import nn

from ...core.errors import ConfigError
from ..layers.convolution import PointConv2d, SpikeConv2d
from ..layers.norm import Norm, TimeNorm
from ..layers.residual import Residual
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks
from .blocks import StemForm


class Form(NamedTuple):
    """The blocks of a depth.

    Attributes:
        stages: blocks of each stage; each stage doubles the channels.
        width: channels of the first stage.
        hidden: features of a spiking layer before the readout; 0 for none.
        deep_stem: with stem `imagenet`, three convolutions instead of one with a large kernel.
        pooled_shortcut: shortcuts halve the size by average pooling 2×2 instead of a stride.
    """

    stages: tuple[int, ...]
    width: int = 64
    hidden: int = 0
    deep_stem: bool = False
    pooled_shortcut: bool = False


FORMS = {
    18: Form((2, 2, 2, 2)),
    19: Form((3, 3, 2), width=128, hidden=256),
    34: Form((3, 4, 6, 3)),
    104: Form((3, 8, 32, 8), deep_stem=True, pooled_shortcut=True),
}


def ms_resnet(
    ctx: BuildContext,
    *,
    depth: Literal[18, 19, 34, 104] = 18,
    width: int | None = None,
    stem: StemForm = "cifar",
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build a stem, blocks x + norm(conv(neuron(norm(conv(neuron(x)))))), neuron, mean, readout.

    The input of every convolution of a main path is spikes. The last norm of a block starts with
    weight 0, so the block starts as its shortcut.

    Args:
        ctx: shapes, coding and neuron.
        depth: 18, 34 and 104 of the paper; 19 has the wide stages (128, 256, 512 channels) and
            the spiking layer of 256 features of tdBN's ResNet-19.
        width: channels of the first stage; by default 64, and 128 at depth 19.
        stem: `cifar` keeps the size in stem and first stage, `imagenet` halves it in both.
        norm: `folded`, `per-step` or `shared` batch norm.

    Raises:
        ConfigError: an unknown depth, a width that is not positive, or at depth 104 an image with
            an odd side.

    Source: Hu et al., "Advancing spiking neural networks towards deep residual learning",
    arXiv 2112.08954, and github.com/Ariande1/MS-ResNet; depth 19: Zheng et al., AAAI 2021.
    """
    if depth not in FORMS:
        raise ConfigError(f"depth must be 18, 19, 34 or 104, not {depth}")
    form = FORMS[depth]
    channels = form.width if width is None else width
    if channels < 1:
        raise ConfigError(f"width must be positive, not {channels}")
    builder = _Builder(ctx, form, norm, ctx.image_shape[1:])
    builder.add_stem(channels, large=stem == "imagenet")
    for i, count in enumerate(form.stages):
        for j in range(count):
            halved = j == 0 and (i > 0 or stem == "imagenet")
            builder.add_block(channels * 2**i, stride=2 if halved else 1)
    return SpikingNetwork(ctx.coding, builder.build())


class _Builder:
    """Adds layers one after another, and keeps the shape of their output."""

    def __init__(self, ctx: BuildContext, form: Form, norm: Norm, size: tuple[int, int]) -> None:
        self.ctx = ctx
        self.form = form
        self.norm: Norm = norm
        self.size = size
        self.channels = 0
        self.blocks = 0
        self.layers: dict[str, nn.Module] = {}

    def add_stem(self, channels: int, *, large: bool) -> None:
        inputs = self.ctx.image_shape[0]

        def make() -> nn.Module:
            if not large:
                return SpikeConv2d(inputs, channels, 3, padding=1, bias=False)
            if not self.form.deep_stem:
                return SpikeConv2d(inputs, channels, 7, stride=2, padding=3, bias=False)
            first = SpikeConv2d(inputs, channels, 3, stride=2, padding=1)
            others = [SpikeConv2d(channels, channels, 3, padding=1) for _ in range(2)]
            return nn.Sequential(first, *others)

        self.layers["stem"], self.layers["norm"] = blocks.stem(self.ctx, make, channels, self.norm)
        self.channels = channels
        if large:
            self.size = _halved(self.size)

    def add_block(self, channels: int, *, stride: int) -> None:
        last = blocks.batch_norm(self.ctx, channels, self.norm)
        _start_at_zero(last)
        main = blocks.sequence(
            spikes1=blocks.neuron(self.ctx, self.channels),
            **self.ctx.synapse("synapse1", self.channels),
            conv1=blocks.conv(self.channels, channels, stride=stride),
            spikes2=blocks.normed_neuron(self.ctx, channels, self.norm),
            **self.ctx.synapse("synapse2", channels),
            conv2=blocks.conv(channels, channels),
            norm=last,
        )
        shortcut: dict[str, nn.Module] = {}
        if stride != 1 or channels != self.channels:
            if self.form.pooled_shortcut:
                shortcut["pool"] = self._pool()
                stride = 1
            # Its input is not spikes: a convolution that does not look for them.
            shortcut["conv"] = OverTime(PointConv2d(self.channels, channels, stride=stride))
            shortcut["norm"] = blocks.batch_norm(self.ctx, channels, self.norm)
        self.blocks += 1
        self.layers[f"block{self.blocks}"] = Residual(main, blocks.sequence(**shortcut))
        if stride == 2 or "pool" in shortcut:
            self.size = _halved(self.size)
        self.channels = channels

    def _pool(self) -> OverTime:
        if any(side > 1 and side % 2 for side in self.size):
            raise ConfigError(
                f"depth 104 halves its images, which cannot be done with {self.size}",
                remedy="use images whose sides can be halved five times, such as 224×224",
            )
        return OverTime(nn.AvgPool2d((min(self.size[0], 2), min(self.size[1], 2))))

    def build(self) -> nn.Sequential:
        ctx, features = self.ctx, self.channels
        self.layers["spikes"] = blocks.neuron(ctx, features)
        self.layers["mean"] = blocks.global_avg_pool(self.size)
        self.layers["flatten"] = nn.Flatten(2)
        if self.form.hidden:
            self.layers |= ctx.synapse("synapse_linear", features)
            self.layers["linear"] = OverTime(nn.Linear(features, self.form.hidden))
            features = self.form.hidden
            self.layers["spikes_linear"] = SpikingLayer(None, ctx.make_neuron(features))
        self.layers |= ctx.synapse("synapse", features)
        self.layers["readout"] = blocks.readout(ctx, features)
        return blocks.sequence(**self.layers)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return blocks.downsampled_size(size[0]), blocks.downsampled_size(size[1])


def _start_at_zero(norm: TimeNorm) -> None:
    for module in norm.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
