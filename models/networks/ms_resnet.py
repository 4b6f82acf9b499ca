"""MS-ResNet: residual networks whose shortcuts carry the inputs of neurons, not spikes."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from ...core.errors import ConfigError
from ..layers.norm import Norm, create_norm
from ..layers.residual import Residual
from ..layers.stem import Stem, stem_norm
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from . import blocks
from .blocks import StemForm
from .groups import Group, create_group


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
    group: Group = "none",
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
        group: `p4` for layers that commute with rotations by 90°; width is then that of one of the
            four rotations. Images of an even side are halved by a max-pool of the spikes and, in
            shortcuts, a mean-pool, not by strides.

    Raises:
        ConfigError: an unknown depth or group, a width that is not positive, an image with an odd
            side at depth 104, or images or a stem that do not fit the group.

    Source: Hu et al., "Advancing spiking neural networks towards deep residual learning",
    arXiv 2112.08954, and github.com/Ariande1/MS-ResNet; depth 19: Zheng et al., AAAI 2021.
    """
    if depth not in FORMS:
        raise ConfigError(f"depth must be 18, 19, 34 or 104, not {depth}")
    form = FORMS[depth]
    channels = form.width if width is None else width
    if channels < 1:
        raise ConfigError(f"width must be positive, not {channels}")
    builder = _Builder(ctx, form, norm, group)
    builder.add_stem(channels, large=stem == "imagenet")
    for i, count in enumerate(form.stages):
        for j in range(count):
            halved = j == 0 and (i > 0 or stem == "imagenet")
            builder.add_block(channels * 2**i, stride=2 if halved else 1)
    return SpikingNetwork(ctx.coding, builder.build())


class _Builder:
    """Adds layers one after another, and keeps the shape of their output."""

    def __init__(self, ctx: BuildContext, form: Form, norm: Norm, group: Group) -> None:
        self.ctx = ctx
        self.form = form
        self.layout = create_group(group, ctx)
        self.stem_norm = partial(stem_norm, ctx.coding, norm, image=True)
        self.norm = partial(create_norm, norm, steps=ctx.steps, image=True)
        self.size = ctx.image_shape[1:]
        self.channels = 0
        self.blocks = 0
        self.layers: dict[str, nn.Module] = {}

    def add_stem(self, channels: int, *, large: bool) -> None:
        inputs, layout = self.ctx.image_shape[0], self.layout

        def make() -> nn.Module:
            if not large:
                return layout.first(inputs, channels, 3, padding=1, bias=False)
            if not self.form.deep_stem:
                return layout.first(inputs, channels, 7, stride=2, padding=3, bias=False)
            first = layout.first(inputs, channels, 3, stride=2, padding=1)
            others = [layout.conv(channels, channels, 3, padding=1).layer for _ in range(2)]
            return nn.Sequential(first, *others)

        if large:
            kernel = 3 if self.form.deep_stem else 7
            layout.check_windows("the stem", self.size, kernel, stride=2, padding=kernel // 2)
        ctx = self.ctx
        self.layers["stem"] = Stem(ctx.coding, make, mean=ctx.mean, std=ctx.std)
        self.layers["norm"] = layout.norm(self.stem_norm, channels)
        self.channels = channels
        if large:
            self.size = _halved(self.size)

    def add_block(self, channels: int, *, stride: int) -> None:
        layout = self.layout
        last = layout.norm(self.norm, channels)
        _start_at_zero(last)
        pools = stride == 2 and not layout.halves(self.size)
        pool = nn.MaxPool2d(2) if pools else None
        main = blocks.sequence(
            spikes1=layout.spiking(None, self.channels, pool),
            **layout.synapse("synapse1", self.channels),
            conv1=layout.conv(
                self.channels, channels, 3, stride=1 if pools else stride, padding=1, bias=False
            ),
            spikes2=layout.spiking(self.norm, channels),
            **layout.synapse("synapse2", channels),
            conv2=layout.conv(channels, channels, 3, padding=1, bias=False),
            norm=last,
        )
        shortcut: dict[str, nn.Module] = {}
        if stride != 1 or channels != self.channels:
            pooled = self.form.pooled_shortcut or pools
            if pooled:
                shortcut["pool"] = self._pool()
            # Its input is not spikes: a convolution that does not look for them.
            shortcut["conv"] = layout.point(self.channels, channels, stride=1 if pooled else stride)
            shortcut["norm"] = layout.norm(self.norm, channels)
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
        self.layers["spikes"] = self.layout.spiking(None, features)
        self.layers |= self.layout.mean(features, self.size)
        if self.form.hidden:
            self.layers |= ctx.synapse("synapse_linear", features)
            self.layers["linear"] = OverTime(nn.Linear(features, self.form.hidden))
            features = self.form.hidden
            self.layers["spikes_linear"] = blocks.neuron(ctx, features)
        self.layers |= ctx.synapse("synapse", features)
        self.layers["readout"] = blocks.readout(ctx, features)
        return blocks.sequence(**self.layers)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return blocks.downsampled_size(size[0]), blocks.downsampled_size(size[1])


def _start_at_zero(norm: nn.Module) -> None:
    for module in norm.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
