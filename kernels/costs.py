"""Whether a convolution is cheaper where the spikes are, or all over.

Both ways are measured on one core, in nanoseconds, and described by a few numbers: the dense
convolution costs so much for each product; the one by events so much for each value that is looked
at or written, whatever it is, and more than the dense one for each product of a spike. Weights that
do not stay in the cache between the places that want them cost twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .contract import Convolution

CACHED = 1 << 20  # bytes of weights


class Costs(NamedTuple):
    """Nanoseconds of one pass.

    Attributes:
        dense: of a product in the dense convolution, and where the kernel is 1×1.
        place: of a place of the input.
        read, written: of a value of the input, and of one of the output.
        spike: of a product of a spike, and where the weights are not cached.
    """

    dense: tuple[float, float]
    place: float
    read: float
    written: float
    spike: tuple[float, float]


FORWARD = Costs((0.013, 0.013), 25.0, 3.7, 1.0, (0.03, 0.055))
BACKWARD = Costs((0.0145, 0.016), 25.0, 1.8, 0.7, (0.033, 0.09))
# Without registers of 16 values the dense convolution loses more than the other.
NARROW = 1.8


@lru_cache(maxsize=1024)
def densest(shape: Convolution, costs: Costs, *, wide: bool) -> float:
    """Return the share of active values up to which a pass by events is the cheaper one.

    With P products of the dense convolution, I values read in p places and O written:

        dense P = place p + read I + written O + share spike P

    It is 0 or less where events never pay.

    Args:
        shape: of the convolution.
        costs: of the pass.
        wide: whether the machine has registers of 16 values.
    """
    (height, width), (inputs, outputs) = shape.size, shape.channels
    taps = shape.kernel[0] * shape.kernel[1]
    products = shape.out[0] * shape.out[1] * inputs * outputs * taps
    places = height * width
    fixed = places * (costs.place + costs.read * inputs)
    fixed += costs.written * outputs * shape.out[0] * shape.out[1]
    far = 4 * inputs * outputs * taps > CACHED
    dense = costs.dense[taps == 1] * products * (1.0 if wide else NARROW)
    return (dense - fixed) / (costs.spike[far] * products)
