"""Batch norm over rows on the CPU, forward and backward, compiled by numba."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import compiled, fetch_and_add, load, splat, store, struct_at

LANES = 8
ROWS_A_BLOCK = 128  # of 32 channels: 16 KiB, which stay in the first cache for a second read

# Layout of the kernel argument struct. Addresses are int64, tensors [steps, rows, channels].
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("chunks", np.int64),  # blocks of rows in a step
        ("rows", np.int64),
        ("channels", np.int64),
        ("x", np.int64),
        ("grad", np.int64),
        ("addend", np.int64),  # or 0
        ("out", np.int64),
        # Of each step and channel:
        ("mean", np.int64),
        ("scale", np.int64),
        ("offset", np.int64),
        ("slope", np.int64),
        ("sums", np.int64),  # [steps, chunks, 2, channels]: two sums of each block
    ]
)


def _make(lanes):
    @compiled
    def moments(args, begin, row, rows, channels, c, step, sums):
        """Mean and sum of centred squares, in two reads, so that nothing cancels."""
        x = args.x + begin
        zero = splat(lanes, np.float32(0))
        count = splat(lanes, np.float32(rows))
        even, odd = zero, zero
        first = row * channels + c
        pairs = rows // 2
        for i in range(pairs):
            at = first + 2 * i * channels
            even = even + load(lanes, x, at)
            odd = odd + load(lanes, x, at + channels)
        if rows % 2:
            even = even + load(lanes, x, first + (rows - 1) * channels)
        mean = (even + odd) / count
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
        x, grad = args.x + begin, args.grad + begin
        mean = load(lanes, args.mean, step + c)
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
        """(x - mean) scale + offset, plus the addend."""
        x, out = args.x + begin, args.out + begin
        mean, scale = (
            load(lanes, args.mean, step + c),
            load(lanes, args.scale, step + c),
        )
        offset = load(lanes, args.offset, step + c)
        addend = args.addend
        for i in range(row, row + rows):
            at = i * channels + c
            value = (load(lanes, x, at) - mean) * scale + offset
            if addend != 0:
                value = value + load(lanes, addend + begin, at)
            store(out, at, value)

    @compiled
    def normed_backward(args, begin, row, rows, channels, c, step, sums):
        """scale grad + offset + (x - mean) slope; the result may overwrite the gradient."""
        x, grad, out = args.x + begin, args.grad + begin, args.out + begin
        mean, scale = (
            load(lanes, args.mean, step + c),
            load(lanes, args.scale, step + c),
        )
        offset = load(lanes, args.offset, step + c)
        slope = load(lanes, args.slope, step + c)
        for i in range(row, row + rows):
            at = i * channels + c
            scaled = load(lanes, grad, at) * scale + offset
            store(out, at, scaled + (load(lanes, x, at) - mean) * slope)

    return moments, products, normed, normed_backward


VECTORS, SINGLES = _make(LANES), _make(1)


def _over_blocks(vector, single):
    """Return the kernel that computes block after block of rows until none is left."""

    @compiled
    def run_blocks(address):
        args = struct_at(address, ARGUMENTS, 0)
        blocks, chunks = args.blocks, args.chunks
        all_rows, channels = args.rows, args.channels
        vectors = channels // LANES * LANES
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= blocks:
                return
            step, chunk = divmod(block, chunks)
            begin = 4 * step * all_rows * channels
            row = chunk * ROWS_A_BLOCK
            rows = min(ROWS_A_BLOCK, all_rows - row)
            sums = args.sums + 8 * block * channels
            for c in range(0, vectors, LANES):
                vector(args, begin, row, rows, channels, c, step * channels, sums)
            for c in range(vectors, channels):
                single(args, begin, row, rows, channels, c, step * channels, sums)

    return run_blocks


moments_blocks, products_blocks, normed_blocks, normed_backward_blocks = (
    _over_blocks(vector, single) for vector, single in zip(VECTORS, SINGLES, strict=True)
)
