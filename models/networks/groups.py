"""Networks of convolutions on the plain grid of pixels, or equivariant under a group.

A network builds its layers by the methods of a group, with the channels of one rotation; the plain
grid has one, p4 four. What a p4 network of an image turned by 90° computes is turned in the same
way, up to its last pool, and its answer is the same.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.convolution import PointConv2d, SpikeConv2d
from ..layers.p4 import GroupPool, P4Conv2d, P4SpikingLayer, Shared
from ..layers.p4.sharing import Make
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..network import BuildContext

Group = Literal["none", "p4"]
Size = tuple[int, int]
Layers = dict[str, nn.Module]


class Plain:
    """Ordinary layers.

    Args:
        ctx: shapes, coding and neuron.
    """

    images = False
    """Whether features behind the convolutions are images of one pixel, `[T, B, F, 1, 1]`."""

    def __init__(self, ctx: BuildContext) -> None:
        self.ctx = ctx

    def first(self, inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Conv2d:
        """Return the convolution of the samples, which a stem holds."""
        return SpikeConv2d(inputs, outputs, kernel, **options)

    def conv(self, inputs: int, outputs: int, kernel: int, **options: Any) -> OverTime:
        """Return a later convolution."""
        return OverTime(SpikeConv2d(inputs, outputs, kernel, **options))

    def point(self, inputs: int, outputs: int, *, stride: int = 1) -> OverTime:
        """Return a 1×1 convolution of values."""
        return OverTime(PointConv2d(inputs, outputs, stride=stride))

    def norm(self, make: Make, channels: int) -> nn.Module:
        """Return a norm, or another layer by channel, that `make` builds."""
        return make(channels)

    def spiking(
        self, norm: Make | None, channels: int, pool: nn.Module | None = None
    ) -> SpikingLayer:
        """Return norm, neuron and pool."""
        own = None if norm is None else norm(channels)
        return SpikingLayer(own, self.ctx.make_neuron(channels), pool)

    def synapse(self, name: str, channels: int) -> Layers:
        """Return the synapse in front of a layer that reads images of spikes, if there is one."""
        return self.ctx.synapse(name, channels)

    def halves(self, size: Size) -> bool:
        """Return whether a padded odd kernel with stride 2 may halve images of that size."""
        return True

    def check_windows(
        self, what: str, size: Size, kernel: int, *, stride: int, padding: int = 0
    ) -> None:
        """Refuse windows that do not fit the group."""

    def flat(self, channels: int, size: Size) -> tuple[Layers, int]:
        """Return what is between the last image and linear layers, and the features after it."""
        return {"flatten": nn.Flatten(2)}, channels * size[0] * size[1]

    def linear(self, features: int, outputs: int, size: Size, *, bias: bool) -> OverTime:
        """Return a layer that reads all of an image of `size` after `flat`."""
        return OverTime(nn.Linear(features, outputs, bias=bias))

    def invariant(self, features: int, size: Size) -> Layers:
        """Return what is between the last spiking layer and the readout, after `flat`."""
        return {}

    def mean(self, channels: int, size: Size) -> Layers:
        """Return the mean over an image, as features."""
        return {"mean": OverTime(nn.AvgPool2d(size)), "flatten": nn.Flatten(2)}


class P4(Plain):
    """Layers that commute with rotations by 90°.

    Args:
        ctx: shapes, coding and neuron.

    Raises:
        ConfigError: images that are not square.
    """

    images = True

    def __init__(self, ctx: BuildContext) -> None:
        super().__init__(ctx)
        _, height, width = ctx.image_shape
        if height != width:
            raise ConfigError(
                f"group p4 turns images by 90°, those of {height}×{width} are not square",
                why="turned, they have another shape",
                remedy="use square images, or model.group=none",
            )

    def first(self, inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Conv2d:
        return P4Conv2d(inputs, outputs, kernel, lifts=True, **options)

    def conv(self, inputs: int, outputs: int, kernel: int, **options: Any) -> OverTime:
        return OverTime(P4Conv2d(inputs, outputs, kernel, **options))

    def point(self, inputs: int, outputs: int, *, stride: int = 1) -> OverTime:
        return self.conv(inputs, outputs, 1, stride=stride, bias=False)

    def norm(self, make: Make, channels: int) -> nn.Module:
        return Shared(make, channels)

    def spiking(
        self, norm: Make | None, channels: int, pool: nn.Module | None = None
    ) -> SpikingLayer:
        return P4SpikingLayer(norm, self.ctx.make_neuron, channels, pool)

    def synapse(self, name: str, channels: int) -> Layers:
        def make(channels: int) -> nn.Module:
            return self.ctx.synapse(name, channels)[name]

        return {name: Shared(make, channels)} if self.ctx.synapse_name != "none" else {}

    def halves(self, size: Size) -> bool:
        return all(side % 2 == 1 for side in size)

    def check_windows(
        self, what: str, size: Size, kernel: int, *, stride: int, padding: int = 0
    ) -> None:
        """Refuse windows that do not map the image onto itself when it is turned.

        They begin at one border; turned, they begin at the other. These are the same windows if
        none of the pixels is left over: (H + 2 padding - kernel) mod stride = 0.

        Raises:
            ConfigError: they are others.
        """
        for side in size:
            if (side + 2 * padding - kernel) % stride:
                raise ConfigError(
                    f"{what} of {side}×{side} pixels is not for group p4",
                    why=f"its windows of {kernel} pixels with stride {stride} leave a row over, "
                    "another one when the image is turned",
                    remedy="use images whose sides can be halved that often, a network that "
                    "halves them less often (model.widths of lenet), or model.group=none",
                )

    def flat(self, channels: int, size: Size) -> tuple[Layers, int]:
        return {}, channels

    def linear(self, features: int, outputs: int, size: Size, *, bias: bool) -> OverTime:
        return self.conv(features, outputs, size[0], bias=bias)

    def invariant(self, features: int, size: Size) -> Layers:
        mean = {} if size == (1, 1) else {"mean": OverTime(nn.AvgPool2d(size))}
        return {"group_pool": GroupPool(features), **mean, "flatten": nn.Flatten(2)}

    def mean(self, channels: int, size: Size) -> Layers:
        return self.invariant(channels, size)


def create_group(name: str, ctx: BuildContext) -> Plain:
    """Return what builds the layers of a network.

    Raises:
        ConfigError: an unknown group, or samples that do not fit it.
    """
    groups = {"none": Plain, "p4": P4}
    if name not in groups:
        raise unknown("group", name, list(groups))
    return groups[name](ctx)
