"""Kernels over rows, for the batch norm: without time, windows or neurons; see `backend`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows", "rows_each"])
def moments_kernel(
    x_ptr,
    means_ptr,
    squares_ptr,
    rows,
    rows_each,
    channels,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Store the mean of a share of the rows of a step, and Σ (x - mean)² over them.

    The mean and squares of each tile are joined with those of the tiles before by Chan's formula.
    Σ x² would lose its digits to a large mean.
    """
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    worker, t = program // blocks, tl.program_id(1)
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)
    x = x_ptr + t * rows.to(tl.int64) * channels + column[None, :]
    first = worker * rows_each
    end = tl.minimum(first + rows_each, rows)
    mean = tl.zeros((CHANNELS,), tl.float32)
    square = tl.zeros((CHANNELS,), tl.float32)
    for begin in range(first, end, ROWS):
        row = begin + tl.arange(0, ROWS)[:, None]
        mask = (row < end) & (column[None, :] < channels)
        value = tl.load(x + row.to(tl.int64) * channels, mask=mask, other=0.0).to(tl.float32)
        seen = (begin - first).to(tl.float32)
        number = tl.minimum(end - begin, ROWS).to(tl.float32)
        part = number / (seen + number)
        tile_mean = tl.sum(value, 0) / number
        delta = tile_mean - mean
        centred = tl.where(mask, value - tile_mean[None, :], 0.0)
        mean += delta * part
        square += tl.sum(centred * centred, 0) + delta * delta * (seen * part)
    to = (worker * tl.num_programs(1) + t).to(tl.int64) * channels + column
    tl.store(means_ptr + to, mean, mask=column < channels)
    tl.store(squares_ptr + to, square, mask=column < channels)


@triton.jit(do_not_specialize=["rows"])
def finish_kernel(
    q_ptr,
    x_ptr,
    mean_ptr,
    offset_ptr,
    slope_ptr,
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
    channel_mask, mask = column < channels, (row < rows) & (column < channels)
    mean = tl.load(mean_ptr + t * channels + column, mask=channel_mask, other=0.0)
    offset = tl.load(offset_ptr + t * channels + column, mask=channel_mask, other=0.0)
    slope = tl.load(slope_ptr + t * channels + column, mask=channel_mask, other=0.0)
    x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
    q = tl.load(q_ptr + at, mask=mask, other=0.0).to(tl.float32)
    q = q + offset + (x - mean) * slope
    tl.store(q_ptr + at, q.to(q_ptr.dtype.element_ty), mask=mask)
