"""The CPU backend: numba kernels over float32 tensors. See `contract` for what they compute."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..contract import SUMS, Rule, Shape
from ..memory import buffers
from . import columns, passes, simd
from .amx.instructions import has_tiles as has_tiles
from .convolutions import (
    convolve as convolve,
)
from .convolutions import (
    convolve_back as convolve_back,
)
from .convolutions import (
    convolve_back_by_tiles as convolve_back_by_tiles,
)
from .convolutions import (
    convolve_by_tiles as convolve_by_tiles,
)
from .convolutions import (
    weights_as_tiles as weights_as_tiles,
)
from .simd import has_wide_registers as has_wide_registers
from .tasks import run


def moments(x: Tensor) -> Tensor:
    """Return mean and biased variance `[2, Tx, C]`, float64."""
    means, squares = _over_rows("moments", x, {}, sums=True).double().unbind(2)
    # Chan's formula joins the blocks.
    shares = _shares(x.shape[1])
    mean = shares @ means
    between = shares @ (means - mean.unsqueeze(1)).square()
    return torch.stack([mean, squares.sum(1) / x.shape[1] + between])


def normed(
    x: Tensor, mean: Tensor, scale: Tensor, offset: Tensor, *, other: Tensor | None = None
) -> Tensor:
    """Return (x - mean) scale + offset, plus `other` if there is one.

    x and other are `[T, R, C]`, mean, scale and offset `[T, C]`.
    """
    out = buffers.take(*x.shape)
    parts = {"OTHER": other, "OUT": out, "MEAN": mean, "SCALE": scale, "OFFSET": offset}
    _over_rows("normed", x, parts)
    return out


def products(grad: Tensor, x: Tensor, mean: Tensor) -> Tensor:
    """Return sums over rows of grad and of grad (x - mean), `[2, T, C]`, float64."""
    found = _over_rows("products", x, {"GRAD": grad, "MEAN": mean}, sums=True)
    return found.sum(1, dtype=torch.float64).transpose(0, 1)


def normed_back(
    grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, offset: Tensor, slope: Tensor
) -> Tensor:
    """Return scale grad + offset + (x - mean) slope, `[T, R, C]`."""
    out = buffers.take(*x.shape)
    parts = {"MEAN": mean, "SCALE": scale, "OFFSET": offset, "SLOPE": slope}
    _over_rows("normed_back", x, {"GRAD": grad, "OUT": out, **parts})
    return out


def _over_rows(
    task: str, x: Tensor, tensors: dict[str, Tensor | None], *, sums: bool = False
) -> Tensor:
    """Run a task of `columns` over blocks of rows; return their sums `[T, blocks, 2, C]`."""
    steps, rows, channels = x.shape
    chunks = -(-rows // columns.ROWS_A_BLOCK)
    parts = x.new_empty(steps, chunks, 2, channels) if sums else x.new_empty(0)
    args = np.zeros(columns.ARGUMENTS, np.int64)
    args[columns.BLOCKS], args[columns.CHUNKS] = steps * chunks, chunks
    args[columns.ROWS], args[columns.CHANNELS] = rows, channels
    args[columns.X], args[columns.PARTS] = x.data_ptr(), parts.data_ptr()
    for name, tensor in tensors.items():
        args[getattr(columns, name)] = 0 if tensor is None else tensor.data_ptr()
    if x.numel():
        run(task, args, steps * chunks)
    return parts


@lru_cache(maxsize=256)
def _shares(rows: int) -> Tensor:
    """Return how large a share of the rows each block of `moments` has."""
    sizes = torch.full((-(-rows // columns.ROWS_A_BLOCK),), float(columns.ROWS_A_BLOCK)).double()
    if rows % columns.ROWS_A_BLOCK:
        sizes[-1] = rows % columns.ROWS_A_BLOCK
    return sizes / rows


def forward(
    x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule, count: bool
) -> tuple[Tensor, Tensor | None]:
    """Return spikes `[T, out rows, C]` and, where wanted, their number at each step."""
    out = buffers.take(shape.steps, shape.out_rows, shape.channels)
    args = _arguments(x, out, table, threshold, shape, rule)
    counts = torch.zeros(shape.steps, dtype=torch.float64) if count else None
    for part in _parts(shape):
        blocks = _choose(args, part)
        if counts is None:  # the address stays 0
            run(f"forward_{part.name}", args, blocks)
            continue
        of_blocks = x.new_zeros(blocks, shape.steps)
        args[passes.COUNTS] = of_blocks.data_ptr()
        run(f"forward_{part.name}", args, blocks)
        counts += of_blocks.sum(0, dtype=torch.float64)
    return out, counts


def backward(
    grad: Tensor, x: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Return q, like x, and the sums `[5, T, C]`, float64."""
    q = buffers.take(*x.shape)
    args = _arguments(x, grad, table, threshold, shape, rule)
    sums = x.new_zeros(_chunks(args), SUMS, shape.steps, shape.channels)
    alpha = np.array([rule.alpha], np.float32)
    args[passes.Q], args[passes.SUMS_AT] = q.data_ptr(), sums.data_ptr()
    args[passes.ALPHA] = alpha.ctypes.data
    step = 4 * passes.CHANNELS_A_BLOCK
    args[passes.NEAR_GRAD] = step * (1 if shape.static else shape.steps)
    args[passes.NEAR] = args[passes.NEAR_GRAD] + step * shape.steps
    for part in _parts(shape):
        run(f"backward_{part.name}", args, _choose(args, part))
    return q, sums.sum(0, dtype=torch.float64)


def finish(q: Tensor, x: Tensor, mean: Tensor, offset: Tensor, slope: Tensor) -> None:
    """Add to q what batch norm's statistics pass on, in place."""
    parts = {"MEAN": mean, "SCALE": torch.ones_like(mean), "OFFSET": offset, "SLOPE": slope}
    _over_rows("normed_back", x, {"GRAD": q, "OUT": q, **parts})


def _arguments(
    x: Tensor, out: Tensor, table: Tensor, threshold: Tensor, shape: Shape, rule: Rule
) -> np.ndarray:
    """Return what a pass finds at its address, but for the channels that it is to take."""
    tall, wide = shape.window
    if tall * wide == 1:
        windows = -(-shape.rows // 4)
    else:
        windows = shape.batch * -(-shape.height // tall) * -(-shape.width // wide)
    args = np.zeros(passes.ARGUMENTS, np.int64)
    args[passes.WINDOWS] = windows
    args[passes.X], args[passes.OUT] = x.data_ptr(), out.data_ptr()
    args[passes.TABLE], args[passes.THRESHOLD] = table.data_ptr(), threshold.data_ptr()
    args[passes.STEPS] = shape.steps
    args[passes.STRIDE] = 0 if shape.static else shape.rows * shape.channels
    args[passes.ROWS], args[passes.OUT_ROWS] = shape.rows, shape.out_rows
    args[passes.CHANNELS] = shape.channels
    args[passes.HEIGHT], args[passes.WIDTH] = shape.height, shape.width
    args[passes.WINDOW_HEIGHT], args[passes.WINDOW_WIDTH] = shape.window
    args[passes.RESET], args[passes.SIZED] = rule.reset, rule.sized
    args[passes.SURROGATE], args[passes.LEARNS_THRESHOLD] = rule.surrogate, rule.learns_threshold
    return args


class _Part(NamedTuple):
    """Channels that one task takes: as many as fill vectors of one width."""

    name: str
    first: int
    last: int


def _parts(shape: Shape) -> list[_Part]:
    parts, first = [], 0
    for name, lanes in passes.LANES.items():
        if name == "wide" and not simd.has_wide_registers():
            continue  # twice as many registers as there are would be needed
        last = shape.channels - (shape.channels - first) % lanes
        if last > first:
            parts.append(_Part(name, first, last))
        first = last
    return parts


def _chunks(args: np.ndarray) -> int:
    return -(-int(args[passes.WINDOWS]) // passes.WINDOWS_A_BLOCK)


def _choose(args: np.ndarray, part: _Part) -> int:
    """Prepare the arguments for some of the channels; return the number of blocks."""
    channel_blocks = -(-(part.last - part.first) // passes.CHANNELS_A_BLOCK)
    args[passes.NEXT] = 0
    args[passes.FIRST_CHANNEL], args[passes.LAST_CHANNEL] = part.first, part.last
    args[passes.CHANNEL_BLOCKS] = channel_blocks
    args[passes.BLOCKS] = _chunks(args) * channel_blocks
    return int(args[passes.BLOCKS])
