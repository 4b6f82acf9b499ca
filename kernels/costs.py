"""The cheapest way to compute a convolution: dense, by events (the spikes), or by tiles.

Each way is measured on one core, in nanoseconds, and described by a few numbers. The dense
convolution has a cost for each product. The one by events has a cost for each value that is read or
written, and a higher one for each product of a spike; weights that do not stay in the cache between
pixels cost twice. Tiles have a cost for each value, a low one for each product, including the zeros
that fill them up, and one for packing the weights.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from .contract import Convolution
from .cpu.amx.layout import DEPTH

Way = Literal["dense", "events", "tiles"]

CACHED = 1 << 20  # bytes of weights
TILE_CHANNELS = 16  # of input and of output


class Machine(NamedTuple):
    """Features of a machine.

    Attributes:
        wide: registers of 16 values.
        tiles: AMX.
    """

    wide: bool
    tiles: bool


class Costs(NamedTuple):
    """Nanoseconds of one pass.

    Attributes:
        dense: of a product in the dense convolution, and where the kernel is 1×1.
        pixel: of a pixel of the input, by events.
        read, written: of a value of the input, and of one of the output, by events.
        spike: of a product of a spike, and where the weights are not cached.
        tile_read, tile_written: of a value of the input, and of one of the output, by tiles.
        tile: of a product by tiles.
        tile_weight: of a weight by tiles, once for all images.
    """

    dense: tuple[float, float]
    pixel: float
    read: float
    written: float
    spike: tuple[float, float]
    tile_read: float
    tile_written: float
    tile: float
    tile_weight: float


NEVER = float("inf")
FORWARD = Costs((0.0115, 0.013), 20.0, 0.8, 0.8, (0.03, 0.055), 0.4, 0.4, 0.0026, 0.8)
WEIGHTS = Costs((0.0125, 0.016), 20.0, 0.8, 0.8, (0.033, 0.09), 0.25, 0.4, 0.002, 2.0)
# Gradients of the input are dense.
INPUTS = Costs((0.0115, 0.013), 0.0, 0.0, 0.0, (NEVER, NEVER), 0.4, 0.4, 0.003, 0.9)
# Without registers of 16 values the dense convolution slows down more than the one by events.
NARROW = 1.8


@lru_cache(maxsize=4096)
def cost(way: Way, shape: Convolution, costs: Costs, share: float, machine: Machine) -> float:
    """Return nanoseconds of a pass over all images.

    With P products of the dense convolution, I values read in p pixels and O written, W weights,
    and P' products by tiles, including zeros between images and at the end of a run of taps:

        dense     dense P
        events    pixel p + read I + written O + share spike P
        tiles     tile_read I + tile_written O + tile P' + tile_weight W

    Args:
        way: of computing it.
        shape: of the convolution.
        costs: of the pass.
        share: of the values that are active.
        machine: that computes.
    """
    if way == "tiles" and not (machine.tiles and fits_tiles(shape)):
        return NEVER
    (height, width), (inputs, outputs) = shape.size, shape.channels
    kernel_h, kernel_w = shape.kernel
    weights = kernel_h * kernel_w * inputs * outputs
    read = shape.images * height * width * inputs
    written = shape.images * shape.out[0] * shape.out[1] * outputs
    products = written * inputs * kernel_h * kernel_w
    if way == "dense":
        return costs.dense[kernel_h * kernel_w == 1] * products * (1.0 if machine.wide else NARROW)
    if way == "events":
        spike = costs.spike[4 * weights > CACHED]
        found = costs.pixel * read / inputs + costs.read * read + costs.written * written
        return found + (spike * share * products if share or spike == NEVER else 0)
    pixels = shape.images
    for out, padding, stride in zip(shape.out, shape.padding, shape.stride, strict=True):
        pixels *= out + -(-padding // stride)
    taps = [len(range(x, kernel_w, shape.stride[1])) for x in range(shape.stride[1])]  # of a run
    row = sum(-(-number * inputs // DEPTH) * DEPTH for number in taps)
    found = costs.tile_read * read + costs.tile_written * written
    return found + costs.tile * pixels * kernel_h * row * outputs + costs.tile_weight * weights


def fits_tiles(shape: Convolution) -> bool:
    """Return whether tiles support a convolution: only its stride changes the size of images."""
    return (
        all(size % s == 0 for size, s in zip(shape.size, shape.stride, strict=True))
        and all(2 * p == k - 1 for p, k in zip(shape.padding, shape.kernel, strict=True))
        and all(channels % TILE_CHANNELS == 0 for channels in shape.channels)
    )


def cheapest(shape: Convolution, costs: Costs, share: float, machine: Machine) -> Way:
    """Return the cheapest way; see `cost`."""
    ways: tuple[Way, ...] = ("dense", "events", "tiles")
    return min(ways, key=lambda way: cost(way, shape, costs, share, machine))
