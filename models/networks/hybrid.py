"""A spiking backbone, an accumulator, and a head of an ordinary network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from torch import nn

from ...core.errors import ConfigError
from ...core.registry import unknown
from ..layers.convolution import SpikeConv2d
from ..layers.norm import Norm
from ..layers.spiking import SpikingLayer
from ..layers.time import OverTime
from ..layers.windows.accumulate import Accumulate
from ..network import BuildContext, SpikingNetwork
from ..readouts.detection import DetectionReadout, Grid
from . import blocks

Head = Literal["class", "detection"]
HEADS = ("class", "detection")
Units = Literal["relu", "neurons"]
UNITS = ("relu", "neurons")
STRIDE = 2


def hybrid(
    ctx: BuildContext,
    *,
    backbone: list[int] | None = None,
    windows: int = 1,
    convs: list[int] | None = None,
    hidden: list[int] | None = None,
    head: Head = "class",
    units: Units = "relu",
    norm: Norm = "folded",
) -> SpikingNetwork:
    """Build conv → norm → neuron for each of `backbone`; accumulator; conv → norm → ReLU for each
    of `convs`; and linear → ReLU for each of `hidden`, readout.

    Convolutions are 3×3 with stride 2. The accumulator gives the head the sums of each window, so
    that the network has an output of each window, and the head's norms have statistics of these
    sums. The two ends of a comparison have the same layers and weights: with `units=neurons` and a
    window of one step the whole network spikes; with `model.neuron=relu`, and a window for each
    frame of counts, none of it does.

    Args:
        ctx: shapes, coding, and the neuron of the backbone.
        backbone: channels of its convolutions, (16, 32) by default.
        windows: W, which divides the steps.
        convs: channels of the head's convolutions, (32,) by default.
        hidden: features of its linear layers, (64,) by default; of detection none.
        head: `class`, the readout of `[readout]`; or `detection`, outputs of each cell.
        units: of the head, `relu` or `neurons`, those of the backbone.
        norm: `folded`, `per-step` or `shared` batch norm of the convolutions.

    Raises:
        ConfigError: W does not divide the steps, a number that is not positive, or options that do
            not go together.

    Source: arXiv 2112.03423, of which we know the abstract and introduction; sizes are ours.
    """
    backbone = [16, 32] if backbone is None else backbone
    convs = [32] if convs is None else convs
    hidden = ([64] if head == "class" else []) if hidden is None else hidden
    _check(ctx, backbone, windows, convs, hidden, head, units)
    channels, *size = ctx.image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, out in enumerate(backbone, start=1):
        if i == 1:
            stem, stem_norm = blocks.stem(ctx, _conv(channels, out), out, norm)
            layers["conv1"] = stem
            layers["spikes1"] = SpikingLayer(stem_norm, ctx.make_neuron(out))
        else:
            layers[f"conv{i}"] = OverTime(_conv(channels, out)())
            layers[f"spikes{i}"] = blocks.normed_neuron(ctx, out, norm)
        channels, size = out, [blocks.downsampled_size(n) for n in size]
    if units == "relu":
        layers["accumulate"] = Accumulate(steps=ctx.steps, windows=windows)
        ctx = replace(ctx, windows=windows)
    for i, out in enumerate(convs, start=1):
        layers[f"head_conv{i}"] = OverTime(_conv(channels, out)())
        _add_units(layers, ctx, f"{i}", out, units, norm)
        channels, size = out, [blocks.downsampled_size(n) for n in size]
    if head == "detection":
        stride = STRIDE ** (len(backbone) + len(convs))
        layers["readout"] = DetectionReadout(
            channels,
            ctx.classes,
            grid=Grid(stride, *size),
            steps=ctx.steps,
            scaled=ctx.scaled,
        )
        return SpikingNetwork(ctx.coding, nn.Sequential(layers))
    layers["flatten"] = nn.Flatten(2)
    features = channels * size[0] * size[1]
    for i, out in enumerate(hidden, start=1):
        layers[f"head_linear{i}"] = blocks.linear(features, out, bias=True)
        _add_units(layers, ctx, f"_linear{i}", out, units, None)
        features = out
    layers["readout"] = ctx.make_readout(features)
    return SpikingNetwork(ctx.coding, nn.Sequential(layers))


def _add_units(
    layers: OrderedDict[str, nn.Module],
    ctx: BuildContext,
    name: str,
    channels: int,
    units: Units,
    norm: Norm | None,
) -> None:
    """Add the norm of a layer of the head, if it has one, and its ReLU or neurons."""
    made = None if norm is None else blocks.batch_norm(ctx, channels, norm)
    if units == "neurons":
        layers[f"head_spikes{name}"] = SpikingLayer(made, ctx.make_neuron(channels))
        return
    if made is not None:
        layers[f"head_norm{name}"] = made
    layers[f"head_relu{name}"] = OverTime(nn.ReLU())


def _conv(inputs: int, outputs: int) -> Callable[[], SpikeConv2d]:
    return partial(SpikeConv2d, inputs, outputs, 3, stride=STRIDE, padding=1, bias=False)


def _check(
    ctx: BuildContext,
    backbone: list[int],
    windows: int,
    convs: list[int],
    hidden: list[int],
    head: str,
    units: str,
) -> None:
    """Refuse options that are none, or do not go together."""
    for name, given, known in (("head", head, HEADS), ("units", units, UNITS)):
        if given not in known:
            raise unknown(name, given, list(known))
    if not backbone or min(*backbone, *convs, *hidden, windows) < 1:
        raise ConfigError(
            f"backbone, convs, hidden and windows must be positive, the backbone not empty, not "
            f"{backbone}, {convs}, {hidden} and {windows}"
        )
    if units == "neurons" and windows != ctx.steps:
        raise ConfigError(
            f"units=neurons reads the spikes of each step, and windows is {windows}",
            why="between spiking layers nothing accumulates",
            remedy=f"set model.windows={ctx.steps}, the number of steps, or model.units=relu",
        )
    if head == "detection" and hidden:
        raise ConfigError(
            f"head=detection has no linear layers, and hidden is {hidden}",
            why="it answers in each cell of an image",
            remedy="set model.hidden=[], and task.name=detection with data of boxes",
        )
    if head == "detection" and (ctx.readout != "mean" or ctx.readout_options):
        raise ConfigError(
            f"head=detection is a readout itself, and readout.name is {ctx.readout}",
            why="its answer is the mean of the outputs of each cell",
            remedy="leave readout out",
        )
