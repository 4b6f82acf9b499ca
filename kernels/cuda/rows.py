"""Kernels over rows that know nothing of time, windows or neurons: see `cuda`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows", "share"])
def moments_kernel(
    x_at, means_at, squares_at, rows, share, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Store the mean of a share of the rows of a step, and Σ (x - mean)² over them.

    Tile by tile: its mean, the squares about it, and both put together with those of the tiles
    before by Chan's formula. Of Σ x² a large mean would leave nothing.
    """
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    worker, t = program // blocks, tl.program_id(1)
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)
    x = x_at + t * rows.to(tl.int64) * channels + column[None, :]
    first = worker * share
    end = tl.minimum(first + share, rows)
    mean = tl.zeros((CHANNELS,), tl.float32)
    square = tl.zeros((CHANNELS,), tl.float32)
    for begin in range(first, end, ROWS):
        row = begin + tl.arange(0, ROWS)[:, None]
        there = (row < end) & (column[None, :] < channels)
        value = tl.load(x + row.to(tl.int64) * channels, mask=there, other=0.0).to(tl.float32)
        done = (begin - first).to(tl.float32)
        number = tl.minimum(end - begin, ROWS).to(tl.float32)
        part = number / (done + number)
        of_tile = tl.sum(value, 0) / number
        apart = of_tile - mean
        centred = tl.where(there, value - of_tile[None, :], 0.0)
        mean += apart * part
        square += tl.sum(centred * centred, 0) + apart * apart * (done * part)
    to = (worker * tl.num_programs(1) + t).to(tl.int64) * channels + column
    tl.store(means_at + to, mean, mask=column < channels)
    tl.store(squares_at + to, square, mask=column < channels)


@triton.jit(do_not_specialize=["rows"])
def finish_kernel(
    q_at,
    x_at,
    mean_at,
    offset_at,
    slope_at,
    rows,
    channels,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """q ← q + offset + (x - mean) slope."""
    program, blocks, t = tl.program_id(0), tl.cdiv(channels, CHANNELS), tl.program_id(1)
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    row = program // blocks * ROWS + tl.arange(0, ROWS)[:, None]
    at = (t * rows.to(tl.int64) + row) * channels + column
    known, there = column < channels, (row < rows) & (column < channels)
    mean = tl.load(mean_at + t * channels + column, mask=known, other=0.0)
    offset = tl.load(offset_at + t * channels + column, mask=known, other=0.0)
    slope = tl.load(slope_at + t * channels + column, mask=known, other=0.0)
    x = tl.load(x_at + at, mask=there, other=0.0).to(tl.float32)
    q = tl.load(q_at + at, mask=there, other=0.0).to(tl.float32)
    q = q + offset + (x - mean) * slope
    tl.store(q_at + at, q.to(q_at.dtype.element_ty), mask=there)
