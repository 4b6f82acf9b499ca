"""A spiking network that detects objects: convolutions over time and space, a head of cells."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm, TimeNorm, create_norm
from ..layers.spiking import SpikingLayer
from ..layers.stem import Stem, stem_norm
from ..layers.temporal import GatedSpikes, StartedSpikes, TapConv2d, TemporalConv
from ..layers.time import OverTime
from ..network import BuildContext, SpikingNetwork
from ..readouts.detection import DetectionReadout, Grid
from . import blocks

Temporal = Literal["none", "first", "all"]
Start = Literal["zero", "last-input"]
MAX_SCALES = 3
HALVINGS = 3  # of the image: a cell of the first grid has 8 px
MIN_OUTPUTS = 6  # a class, the background and a box


class Variant(NamedTuple):
    """What the options are where a recipe does not say."""

    temporal: Temporal
    gate: bool
    scales: int


VARIANTS = {
    "small": Variant("all", gate=False, scales=1),
    "author": Variant("first", gate=True, scales=3),
}


def spiking_yolo(
    ctx: BuildContext,
    *,
    variant: Literal["small", "author"] = "small",
    temporal: Temporal | None = None,
    causal: bool = False,
    gate: bool | None = None,
    start: Start = "zero",
    scales: int | None = None,
    widths: list[int] | None = None,
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build conv 3×3 → batch norm → neuron, some of them over time; a head at one to three scales.

    The first three convolutions have stride 2, the others stride 1, without bias. The head reads
    cells of 8 px; each further scale has one more convolution with stride 2 before it. In a single
    step a temporal kernel sees itself alone, so that there the convolutions are those of images:
    the ANN counterpart for images is that network.

    Args:
        ctx: shapes, coding and neuron; classes are K + 5: K classes, the background and a box.
        variant: `small`, temporal all, no gate, one scale; or `author`: what is published of the
            authors' network, temporal first, with the gate, three scales.
        temporal: which convolutions have a kernel (3, 3, 3) over time: `none`, the `first`, `all`.
        causal: whether they read a step and the two before it, not its two neighbours.
        gate: whether the spikes of the first convolution are gated.
        start: of the membranes: `zero`, or from their `last-input`, see `StartedSpikes`.
        scales: of the head, 1 to 3.
        widths: channels of the convolutions; by default [16, 32, 64, 64].
        norm: `folded`, `per-step` or `shared` batch norm.

    Raises:
        ConfigError: an option out of range, or outputs that are no boxes.

    Source: arXiv 2412.17654. Its first convolution, its gate and its head are published; the other
    sizes are ours.
    """
    if variant not in VARIANTS:
        raise unknown("variant", variant, list(VARIANTS))
    chosen = VARIANTS[variant]
    temporal = chosen.temporal if temporal is None else temporal
    gate = chosen.gate if gate is None else gate
    scales = chosen.scales if scales is None else scales
    widths = [16, 32, 64, 64] if widths is None else widths
    _check(ctx, temporal, scales, widths, causal=causal, gate=gate, start=start)
    build = _Builder(ctx, temporal, norm, causal=causal, start=start)
    channels, height, width = ctx.image_shape
    layers: dict[str, nn.Module] = {}
    for i, outputs in enumerate(widths, start=1):
        stride = 2 if i <= HALVINGS else 1
        if i > 1:
            layers |= ctx.synapse(f"synapse{i}", channels)
        layers[f"conv{i}"] = build.conv(i, channels, outputs, stride)
        layers[f"spikes{i}"] = build.spikes(i, outputs, gated=gate and i == 1)
        channels = outputs
        if stride == 2:
            height, width = map(blocks.downsampled_size, (height, width))
    layers |= ctx.synapse("synapse", channels)
    grid = Grid(2 ** min(len(widths), HALVINGS), height, width)
    layers["readout"] = build.head(channels, grid, scales)
    return SpikingNetwork(ctx.coding, blocks.sequence(**layers))


class _Builder:
    """Builds the layers of one network.

    Args:
        ctx: of the network.
        temporal, norm, causal, start: as of `spiking_yolo`.
    """

    def __init__(
        self, ctx: BuildContext, temporal: Temporal, norm: Norm, *, causal: bool, start: Start
    ) -> None:
        self.ctx = ctx
        self.temporal = temporal if ctx.steps > 1 else "none"
        self.norm: Norm = norm
        self.causal = causal
        self.starts = start == "last-input" and ctx.steps > 1

    def conv(self, number: int, inputs: int, outputs: int, stride: int) -> nn.Module:
        """Return a convolution; the first is the stem."""
        over_time = self.temporal == "all" or (self.temporal == "first" and number == 1)
        make = partial(TapConv2d if over_time else SpikeConv2d, inputs, outputs, 3)
        make = partial(make, stride=stride, padding=1)
        make = partial(make, causal=self.causal) if over_time else partial(make, bias=False)
        layer: Stem | OverTime
        if number == 1:
            layer = Stem(self.ctx.coding, make, mean=self.ctx.mean, std=self.ctx.std)
        else:
            layer = OverTime(make())
        return TemporalConv(layer) if over_time else layer

    def spikes(self, number: int, channels: int, *, gated: bool = False) -> nn.Module:
        """Return norm and neurons after a convolution."""
        ctx, neuron = self.ctx, self.ctx.make_neuron(channels)
        norm: TimeNorm
        if number == 1 and self.temporal == "none":
            norm = stem_norm(ctx.coding, self.norm, channels, image=True)
        else:  # of the sums over time, some have terms of analog steps and of spikes
            norm = create_norm(self.norm, channels, steps=ctx.steps, image=True)
        make = StartedSpikes if self.starts else SpikingLayer
        if gated:
            return GatedSpikes(norm, make(None, neuron), steps=ctx.steps, channels=channels)
        return make(norm, neuron)

    def head(self, channels: int, grid: Grid, scales: int, number: int = 1) -> DetectionReadout:
        """Return the readout of a grid, and of those with fewer cells."""
        further: nn.Sequential | None = None
        then: DetectionReadout | None = None
        if number < scales:
            below = Grid(2 * grid.stride, *map(blocks.downsampled_size, (grid.height, grid.width)))
            further = blocks.sequence(
                **self.ctx.synapse("synapse", channels),
                conv=self.conv(0, channels, channels, stride=2),
                spikes=self.spikes(0, channels),
            )
            then = self.head(channels, below, scales, number + 1)
        return DetectionReadout(
            channels,
            self.ctx.classes,
            grid=grid,
            steps=self.ctx.steps,
            scaled=self.ctx.scaled,
            further=further,
            then=then,
        )


def _check(
    ctx: BuildContext,
    temporal: str,
    scales: int,
    widths: list[int],
    *,
    causal: bool,
    gate: bool,
    start: str,
) -> None:
    if start not in ("zero", "last-input"):
        raise unknown("start", start, ["zero", "last-input"])
    if temporal not in ("none", "first", "all"):
        raise unknown("temporal", temporal, ["none", "first", "all"])
    if not 1 <= scales <= MAX_SCALES:
        raise ConfigError(f"scales must be from 1 to {MAX_SCALES}, not {scales}")
    if not widths or min(widths) < 1:
        raise ConfigError(f"widths must be positive, one a convolution, not {widths}")
    if causal and temporal == "none":
        raise ConfigError(
            "model.causal is for convolutions over time",
            why="with model.temporal=none there are none",
            remedy="leave it out, or set model.temporal=all",
        )
    if causal and gate:
        raise ConfigError(
            "a gate is not causal",
            why="its factors follow from all steps",
            remedy="set model.gate=false, or model.causal=false",
        )
    if causal and start != "zero":
        raise ConfigError(
            "a start from the last input is not causal",
            why="the first step needs all others",
            remedy="set model.start=zero, or model.causal=false",
        )
    if ctx.classes < MIN_OUTPUTS:
        raise ConfigError(
            f"spiking-yolo has {ctx.classes} outputs in each cell",
            why="it detects boxes: K classes, the background and 4 numbers of a box, K + 5 in all",
            remedy="set task.name=detection; to classify, choose another model.name",
        )
    if ctx.readout != "mean" or ctx.readout_options:
        raise ConfigError(
            f"spiking-yolo has no readout {ctx.readout}",
            why="its head answers with the mean over the steps",
            remedy="leave out [readout]",
        )
