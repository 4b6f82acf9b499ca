"""Which way a convolution is computed the cheapest: all over, where the spikes are, or by tiles.

Each way is measured on one core, in nanoseconds, and described by a few numbers: the dense
convolution costs so much for each product; the one by events so much for each value that is looked
at or written, whatever it is, and more than the dense one for each product of a spike. Weights that
do not stay in the cache between the places that want them cost twice. Tiles cost for each value and
little for a product, the zeros that fill them up included, and for bringing the weights into order.
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
    """What a machine has.

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
        place: of a place of the input, by events.
        read, written: of a value of the input, and of one of the output, by events.
        spike: of a product of a spike, and where the weights are not cached.
        tile_read, tile_written: of a value of the input, and of one of the output, by tiles.
        tile: of a product by tiles.
        tile_weight: of a weight by tiles, once for all images.
    """

    dense: tuple[float, float]
    place: float
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
# Gradients of the input: they are dense, whatever the spikes.
INPUTS = Costs((0.0115, 0.013), 0.0, 0.0, 0.0, (NEVER, NEVER), 0.4, 0.4, 0.003, 0.9)
# Without registers of 16 values the dense convolution loses more than the other.
NARROW = 1.8


@lru_cache(maxsize=4096)
def cost(way: Way, shape: Convolution, costs: Costs, share: float, machine: Machine) -> float:
    """Return nanoseconds of a pass over all images.

    With P products of the dense convolution, I values read in p places and O written, W weights,
    and P' products by tiles, zeros between images and at the end of a run of taps included:

        dense     dense P
        events    place p + read I + written O + share spike P
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
    tall, wide = shape.kernel
    weights = tall * wide * inputs * outputs
    read = shape.images * height * width * inputs
    written = shape.images * shape.out[0] * shape.out[1] * outputs
    products = written * inputs * tall * wide
    if way == "dense":
        return costs.dense[tall * wide == 1] * products * (1.0 if machine.wide else NARROW)
    if way == "events":
        spike = costs.spike[4 * weights > CACHED]
        found = costs.place * read / inputs + costs.read * read + costs.written * written
        return found + (spike * share * products if share or spike == NEVER else 0)
    places = shape.images
    for out, padding, stride in zip(shape.out, shape.padding, shape.stride, strict=True):
        places *= out + -(-padding // stride)
    taps = [len(range(x, wide, shape.stride[1])) for x in range(shape.stride[1])]  # of a run
    line = sum(-(-number * inputs // DEPTH) * DEPTH for number in taps)
    found = costs.tile_read * read + costs.tile_written * written
    return found + costs.tile * places * tall * line * outputs + costs.tile_weight * weights


def fits_tiles(shape: Convolution) -> bool:
    """Return whether tiles can compute a convolution: only its stride changes the images' size."""
    return (
        all(size % s == 0 for size, s in zip(shape.size, shape.stride, strict=True))
        and all(2 * p == k - 1 for p, k in zip(shape.padding, shape.kernel, strict=True))
        and all(channels % TILE_CHANNELS == 0 for channels in shape.channels)
    )


def cheapest(shape: Convolution, costs: Costs, share: float, machine: Machine) -> Way:
    """Return the way that costs least; see `cost`."""
    ways: tuple[Way, ...] = ("dense", "events", "tiles")
    return min(ways, key=lambda way: cost(way, shape, costs, share, machine))
