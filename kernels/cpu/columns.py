"""Batch norm over rows on the CPU, there and back, compiled by numba."""

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
    GRAD,
    OTHER,  # what is added to the result, or 0
    OUT,
    # Of each step and channel:
    MEAN,
    SCALE,
    OFFSET,
    SLOPE,
    PARTS,  # [steps, chunks, 2, channels]: two sums of each block
    ARGUMENTS,
) = range(15)


def _make(lanes):
    @compiled
    def moments(args, begin, row, rows, channels, c, step, sums):
        """Mean and centred squares: two looks, so that nothing cancels."""
        x = read(args, X) + begin
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
        store(sums, c, mean)
        store(sums, channels + c, even + odd)

    @compiled
    def products(args, begin, row, rows, channels, c, step, sums):
        """Sums of the gradient, and of gradient times (x - mean)."""
        x, grad = read(args, X) + begin, read(args, GRAD) + begin
        mean = load(lanes, read(args, MEAN), step + c)
        first = splat(lanes, np.float32(0))
        second = first
        for i in range(row, row + rows):
            at = i * channels + c
            g = load(lanes, grad, at)
            first = first + g
            second = second + g * (load(lanes, x, at) - mean)
        store(sums, c, first)
        store(sums, channels + c, second)

    @compiled
    def normed(args, begin, row, rows, channels, c, step, sums):
        """(x - mean) scale + offset, and what is added."""
        x, out = read(args, X) + begin, read(args, OUT) + begin
        mean, scale = (
            load(lanes, read(args, MEAN), step + c),
            load(lanes, read(args, SCALE), step + c),
        )
        offset = load(lanes, read(args, OFFSET), step + c)
        other = read(args, OTHER)
        for i in range(row, row + rows):
            at = i * channels + c
            value = (load(lanes, x, at) - mean) * scale + offset
            if other != 0:
                value = value + load(lanes, other + begin, at)
            store(out, at, value)

    @compiled
    def normed_back(args, begin, row, rows, channels, c, step, sums):
        """scale times gradient + offset + (x - mean) slope; the result may take the place of the
        gradient."""
        x, grad, out = read(args, X) + begin, read(args, GRAD) + begin, read(args, OUT) + begin
        mean, scale = (
            load(lanes, read(args, MEAN), step + c),
            load(lanes, read(args, SCALE), step + c),
        )
        offset = load(lanes, read(args, OFFSET), step + c)
        slope = load(lanes, read(args, SLOPE), step + c)
        for i in range(row, row + rows):
            at = i * channels + c
            direct = load(lanes, grad, at) * scale + offset
            store(out, at, direct + (load(lanes, x, at) - mean) * slope)

    return moments, products, normed, normed_back


WHOLE, SINGLE = _make(LANES), _make(1)


def _over_blocks(whole, single):
    """Return the task that takes blocks of rows until none is left."""

    @compiled
    def blocks_of(args):
        blocks, chunks = read(args, BLOCKS), read(args, CHUNKS)
        all_rows, channels = read(args, ROWS), read(args, CHANNELS)
        vectors = channels // LANES * LANES
        while True:
            block = fetch_and_add(args + 8 * NEXT, 1)
            if block >= blocks:
                return
            step, chunk = divmod(block, chunks)
            begin = 4 * step * all_rows * channels
            row = chunk * ROWS_A_BLOCK
            rows = min(ROWS_A_BLOCK, all_rows - row)
            sums = read(args, PARTS) + 8 * block * channels
            for c in range(0, vectors, LANES):
                whole(args, begin, row, rows, channels, c, step * channels, sums)
            for c in range(vectors, channels):
                single(args, begin, row, rows, channels, c, step * channels, sums)

    return blocks_of


moments_blocks, products_blocks, normed_blocks, normed_back_blocks = (
    _over_blocks(whole, single) for whole, single in zip(WHOLE, SINGLE, strict=True)
)
