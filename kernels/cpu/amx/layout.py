"""Where tiles find images: rows of places, and the runs of taps that see them. See `tiles`."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...contract import Convolution

DEPTH = 32  # values that a product of tiles adds up
SLACK = 64  # places that a last tile may read

Pair = tuple[int, int]  # vertical, horizontal


class Grid(NamedTuple):
    """Places that images are brought to.

    Attributes:
        line: places from one line to the next.
        places: from one image to the next.
        lead: zeros in front of the first image.
    """

    line: int
    places: int
    lead: int

    def room(self, images: int) -> int:
        """Return how many places images take, with what is read around them."""
        return images * self.places + 2 * self.lead + SLACK

    def seen(self, run: Run) -> int:
        """Return where a run begins to see images, in places from their memory's beginning."""
        return self.lead + run.down * self.line + run.right


def grid_of(shape: Convolution) -> Grid:
    """Return the places of a convolution, which are those of its output."""
    height, width = shape.out
    below, behind = (-(-p // s) for p, s in zip(shape.padding, shape.stride, strict=True))
    line = width + behind
    return Grid(line, (height + below) * line, below * line + behind)


def pixels_of(grid: Grid, images: int, size: Pair, stride: Pair) -> np.ndarray:
    """Return which pixel of images with phases stands at each place, -1 between lines and images.

    They are those of the first phase.
    """
    pixels = np.full(images * grid.places + SLACK, -1)
    places = pixels[:-SLACK].reshape(images, -1, grid.line)
    numbers = np.arange(images * math.prod(size)).reshape(images, *size)
    numbers = numbers[:, :: stride[0], :: stride[1]]
    places[:, : numbers.shape[1], : numbers.shape[2]] = numbers
    return pixels


def steady_of(pixels: np.ndarray, step: int) -> np.ndarray:
    """Return whether each 16 of the pixels follow each other by that step."""
    sixteen = pixels[: len(pixels) // 16 * 16].reshape(-1, 16)
    return ((sixteen[:, 0] >= 0) & (np.diff(sixteen) == step).all(1)).astype(np.int64)


class Run(NamedTuple):
    """Taps in a line of the kernel that see places beside each other.

    Attributes:
        to: phase of the output that they are added to.
        phase: of the input that they see.
        down, right: where the first of them sees it, from a place of the output.
        taps: how many there are.
        y, x: the first of them.
        step: from one to the next.
    """

    to: int
    phase: int
    down: int
    right: int
    taps: int
    y: int
    x: int
    step: int

    def steps(self, channels: int) -> int:
        """Return how many products of tiles it takes."""
        return -(-self.taps * channels // DEPTH)


@lru_cache(maxsize=256)
def runs_of(kernel: Pair, stride: Pair, *, back: bool) -> tuple[Run, ...]:
    """Return the runs of a kernel, in order; with `back` those of the gradient of the input."""
    (tall, wide), across = kernel, stride[1]
    runs = []
    for y in range(tall):
        for x in range(min(wide, across)):
            down, phase_y = divmod(y - tall // 2, stride[0])
            right, phase_x = divmod(x - wide // 2, across)
            phase, taps = phase_y * across + phase_x, len(range(x, wide, across))
            if back:  # from the other end
                last = taps - 1
                run = Run(phase, 0, -down, -right - last, taps, y, x + last * across, -across)
            else:
                run = Run(0, phase, down, right, taps, y, x, across)
            runs.append(run)
    return tuple(sorted(runs))


class Phase(NamedTuple):
    """What is added to one phase of the output.

    Attributes:
        first, last: run, and the one behind.
        steps: products of tiles that the runs before take.
        pixel: the first one.
    """

    first: int
    last: int
    steps: int
    pixel: int
