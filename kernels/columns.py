"""Sums over rows and the last step of batch norm's gradient on the CPU, compiled by numba."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import compiled, fetch_and_add, load, read, splat, store

LANES = 8
ROWS_A_BLOCK = 128  # of 32 channels: 16 KiB, so that a second look finds them in the first cache

# What a task finds at its address; tensors are [steps, rows, channels].
(
    NEXT,  # the next block, shared by the threads
    BLOCKS,
    CHUNKS,  # blocks of rows in a step
    ROWS,
    CHANNELS,
    X,
    Q,
    MEAN,
    OFFSET,
    SLOPE,
    PARTS,  # [steps, chunks, 2, channels]: means and sums of squares about them
    ARGUMENTS,
) = range(12)


def _make(lanes):
    @compiled
    def moments(x, row, rows, channels, c, means, squares):
        """Mean and centred squares of some rows: two looks, so that nothing cancels."""
        zero = splat(lanes, np.float32(0))
        number = splat(lanes, np.float32(rows))
        even, odd = zero, zero
        first = row * channels + c
        pairs = rows // 2
        for i in range(pairs):
            at = first + 2 * i * channels
            even = even + load(lanes, x, at)
            odd = odd + load(lanes, x, at + channels)
        if rows % 2:
            even = even + load(lanes, x, first + (rows - 1) * channels)
        mean = (even + odd) / number
        even, odd = zero, zero
        for i in range(pairs):
            at = first + 2 * i * channels
            a, b = load(lanes, x, at) - mean, load(lanes, x, at + channels) - mean
            even, odd = even + a * a, odd + b * b
        if rows % 2:
            a = load(lanes, x, first + (rows - 1) * channels) - mean
            even = even + a * a
        store(means, c, mean)
        store(squares, c, even + odd)

    @compiled
    def finish(q, x, row, rows, channels, c, mean, offset, slope):
        mean, offset, slope = load(lanes, mean, c), load(lanes, offset, c), load(lanes, slope, c)
        for i in range(row, row + rows):
            at = i * channels + c
            store(q, at, load(lanes, q, at) + offset + (load(lanes, x, at) - mean) * slope)

    return moments, finish


moments_whole, finish_whole = _make(LANES)
moments_single, finish_single = _make(1)


@compiled
def moments_blocks(args):
    blocks, chunks = read(args, BLOCKS), read(args, CHUNKS)
    all_rows, channels = read(args, ROWS), read(args, CHANNELS)
    whole = channels // LANES * LANES
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= blocks:
            return
        step, chunk = divmod(block, chunks)
        x = read(args, X) + 4 * step * all_rows * channels
        row = chunk * ROWS_A_BLOCK
        rows = min(ROWS_A_BLOCK, all_rows - row)
        means = read(args, PARTS) + 8 * block * channels
        squares = means + 4 * channels
        for c in range(0, whole, LANES):
            moments_whole(x, row, rows, channels, c, means, squares)
        for c in range(whole, channels):
            moments_single(x, row, rows, channels, c, means, squares)


@compiled
def finish_blocks(args):
    blocks, chunks = read(args, BLOCKS), read(args, CHUNKS)
    all_rows, channels = read(args, ROWS), read(args, CHANNELS)
    whole = channels // LANES * LANES
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= blocks:
            return
        step, chunk = divmod(block, chunks)
        start = 4 * step * all_rows * channels
        q, x = read(args, Q) + start, read(args, X) + start
        row = chunk * ROWS_A_BLOCK
        rows = min(ROWS_A_BLOCK, all_rows - row)
        at = 4 * step * channels
        mean, offset = read(args, MEAN) + at, read(args, OFFSET) + at
        slope = read(args, SLOPE) + at
        for c in range(0, whole, LANES):
            finish_whole(q, x, row, rows, channels, c, mean, offset, slope)
        for c in range(whole, channels):
            finish_single(q, x, row, rows, channels, c, mean, offset, slope)
