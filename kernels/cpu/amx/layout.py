"""How images are packed for tiles: the padded grid, and the runs of taps that read it.

Images are packed with zeros between rows and images: p zeros stand behind a row of W pixels, and
serve the next row as well, and p rows behind an image. In this grid, what one tap of the kernel
reads for consecutive output pixels is consecutive too, and a tile of the input is 16 positions by
32 values from wherever the tap begins. Taps beside each other read positions beside each other: a
row of the kernel is one run of (kernel width × channels) values.

With stride s the grid is that of the output, and every pixel of the input has a phase:

    s y + k - p = s (y + d) + f         f = (k - p) mod s, of rows and of columns

Tap k reads position y + d of phase f, and of a row of the kernel each s-th tap is in one run. For
the gradient of the input, it is that gradient which has phases, each with its own runs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...contract import Convolution

DEPTH = 32  # values that a product of tiles adds up
SLACK = 64  # positions that a last tile may read

Pair = tuple[int, int]  # vertical, horizontal


class Grid(NamedTuple):
    """The padded grid of packed images.

    Attributes:
        row_stride: positions from one row to the next.
        image_stride: positions from one image to the next.
        lead: zeros in front of the first image.
    """

    row_stride: int
    image_stride: int
    lead: int

    def size(self, images: int) -> int:
        """Return the positions of images, with those that are read around them."""
        return images * self.image_stride + 2 * self.lead + SLACK

    def offset(self, run: Run) -> int:
        """Return the position at which a run begins to read for the first output pixel."""
        return self.lead + run.row_offset * self.row_stride + run.column_offset


def grid_of(shape: Convolution) -> Grid:
    """Return the grid of a convolution: that of its output."""
    height, width = shape.out
    below, behind = (-(-p // s) for p, s in zip(shape.padding, shape.stride, strict=True))
    row_stride = width + behind
    return Grid(row_stride, (height + below) * row_stride, below * row_stride + behind)


def pixels_of(grid: Grid, images: int, size: Pair, stride: Pair) -> np.ndarray:
    """Return the pixel of the first phase at each position, -1 between rows and images."""
    pixels = np.full(images * grid.image_stride + SLACK, -1)
    rows = pixels[:-SLACK].reshape(images, -1, grid.row_stride)
    numbers = np.arange(images * math.prod(size)).reshape(images, *size)
    numbers = numbers[:, :: stride[0], :: stride[1]]
    rows[:, : numbers.shape[1], : numbers.shape[2]] = numbers
    return pixels


def contiguous_of(pixels: np.ndarray, step: int) -> np.ndarray:
    """Return for each 16 of the pixels whether they follow each other by that step."""
    sixteen = pixels[: len(pixels) // 16 * 16].reshape(-1, 16)
    return ((sixteen[:, 0] >= 0) & (np.diff(sixteen) == step).all(1)).astype(np.int64)


class Run(NamedTuple):
    """Taps in a row of the kernel that read positions beside each other.

    Attributes:
        out_phase: phase of the output that they are added to.
        in_phase: phase of the input that they read.
        row_offset, column_offset: of the first of them, from the position of the output pixel.
        taps: their number.
        y, x: the first of them.
        step: from one to the next.
    """

    out_phase: int
    in_phase: int
    row_offset: int
    column_offset: int
    taps: int
    y: int
    x: int
    step: int

    def k_tiles(self, channels: int) -> int:
        """Return the number of products of tiles."""
        return -(-self.taps * channels // DEPTH)


@lru_cache(maxsize=256)
def runs_of(kernel: Pair, stride: Pair, *, backward: bool) -> tuple[Run, ...]:
    """Return the runs of a kernel in order; with `backward` those of the input's gradient."""
    (kernel_h, kernel_w), stride_x = kernel, stride[1]
    runs = []
    for y in range(kernel_h):
        for x in range(min(kernel_w, stride_x)):
            row_offset, phase_y = divmod(y - kernel_h // 2, stride[0])
            column_offset, phase_x = divmod(x - kernel_w // 2, stride_x)
            phase, taps = phase_y * stride_x + phase_x, len(range(x, kernel_w, stride_x))
            if backward:  # from the last tap to the first
                last = taps - 1
                x_last = x + last * stride_x
                run = Run(phase, 0, -row_offset, -column_offset - last, taps, y, x_last, -stride_x)
            else:
                run = Run(0, phase, row_offset, column_offset, taps, y, x, stride_x)
            runs.append(run)
    return tuple(sorted(runs))


# Tables that the kernels read.
PACKED_RUN = np.dtype([(name, np.int64) for name in Run._fields])
READ_RUN = np.dtype(
    [
        ("offset", np.int64),  # bytes of packed x at which it begins to read
        ("k_tiles", np.int64),
    ]
)
PHASE = np.dtype(
    [
        ("first_run", np.int64),
        ("end_run", np.int64),
        ("k_tile", np.int64),  # the first of its weights
        ("pixel", np.int64),  # the first of the output
    ]
)
