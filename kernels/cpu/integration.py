"""Batch norm and integrate-and-fire neurons over all steps on the CPU, with what the gradient of
their representation needs: sums over time. Compiled by numba."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import add_lanes, compiled, fetch_and_add, load, select, splat, store, struct_at

LANES = 16
ROWS_A_BLOCK = 16

# Of each channel: mean and 1/σ, weight and bias of the norm, threshold α V, amplitude V.
MEAN, INVERSE, WEIGHT, BIAS, THRESHOLD, AMPLITUDE = range(6)
TABLE = 6

# Layout of the kernel argument struct. Addresses are int64; `seen` steps of input, 1 or `steps`.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("rows", np.int64),
        ("channels", np.int64),
        ("steps", np.int64),
        ("seen", np.int64),
        ("x", np.int64),  # [seen, rows, channels]
        ("out", np.int64),  # [steps, rows, channels]
        ("table", np.int64),  # [TABLE, channels]
        ("weights", np.int64),  # [2, steps]: of the steps of the neurons, and of the input
        ("total", np.int64),  # Σ_t x̂_t [rows, channels]
        ("weighted", np.int64),  # the weighted mean of x̂ [rows, channels]
        ("region", np.int64),  # -1 below, 0 inside, 1 above [rows, channels]
        ("leak", np.float32),
        ("gain", np.float32),
        ("slope", np.float32),
        ("inner_border", np.int64),  # whether a border of the region belongs to its inside
    ]
)
# Of the backward pass: grad [seen, rows, channels], region, total, out [rows, channels].
BACKWARD = np.dtype(
    [
        ("next_block", np.int64),
        ("blocks", np.int64),
        ("rows", np.int64),
        ("channels", np.int64),
        ("seen", np.int64),
        ("grad", np.int64),
        ("region", np.int64),
        ("total", np.int64),  # or 0
        ("out", np.int64),
        ("weights", np.int64),  # [seen]
        ("sums", np.int64),  # [blocks, 3, channels]
        ("slope", np.float32),
    ]
)


def _make(lanes):
    @compiled
    def forward(args, row, c):
        rows, channels, table = args.rows, args.channels, args.table
        mean, inverse = load(lanes, table, MEAN + c), load(lanes, table, INVERSE * channels + c)
        weight = load(lanes, table, WEIGHT * channels + c)
        bias = load(lanes, table, BIAS * channels + c)
        threshold = load(lanes, table, THRESHOLD * channels + c)
        amplitude = load(lanes, table, AMPLITUDE * channels + c)
        leak, gain = splat(lanes, args.leak), splat(lanes, args.gain)
        zero = splat(lanes, np.float32(0))
        one = splat(lanes, np.float32(1))
        v, total, weighted, level, y = zero, zero, zero, zero, zero
        here = row * channels + c
        for t in range(args.steps):
            if t < args.seen:
                x = (load(lanes, args.x, t * rows * channels + here) - mean) * inverse
                y = x * weight + bias
                total = total + x
                of_input = add_lanes(load(1, args.weights, args.steps + t))
                weighted = weighted + x * splat(lanes, of_input)
                level = level + y * splat(lanes, add_lanes(load(1, args.weights, t)))
            v = v * leak + gain * y
            spike = select(v > threshold, amplitude, zero)
            store(args.out, t * rows * channels + here, spike)
            v = v - spike
        store(args.total, here, total)
        store(args.weighted, here, weighted)
        level = level * splat(lanes, args.slope)
        if args.inner_border:
            region = select(level < zero, zero - one, select(level > amplitude, one, zero))
        else:
            region = select(level > zero, select(level < amplitude, zero, one), zero - one)
        store(args.region, here, region)

    @compiled
    def backward(args, row, rows, c, sums):
        channels = args.channels
        zero = splat(lanes, np.float32(0))
        half = splat(lanes, np.float32(0.5))
        slope = splat(lanes, args.slope)
        plain, with_x, above = zero, zero, zero
        for r in range(row, row + rows):
            here = r * channels + c
            mean = zero
            for t in range(args.seen):
                w = splat(lanes, add_lanes(load(1, args.weights, t)))
                mean = mean + w * load(lanes, args.grad, t * args.rows * channels + here)
            region = load(lanes, args.region, here)
            inside = select(abs(region) < half, mean * slope, zero)
            store(args.out, here, inside)
            plain = plain + inside
            if args.total != 0:
                with_x = with_x + inside * load(lanes, args.total, here)
            above = above + select(region > half, mean, zero)
        store(sums, c, plain)
        store(sums, channels + c, with_x)
        store(sums, 2 * channels + c, above)

    return forward, backward


VECTOR, SINGLE = _make(LANES), _make(1)
FORWARD_VECTOR, BACKWARD_VECTOR = VECTOR
FORWARD_SINGLE, BACKWARD_SINGLE = SINGLE


@compiled
def forward_blocks(address):
    """Compute block after block of rows until none is left."""
    args = struct_at(address, ARGUMENTS, 0)
    vectors = args.channels // LANES * LANES
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        begin = block * ROWS_A_BLOCK
        for row in range(begin, min(begin + ROWS_A_BLOCK, args.rows)):
            for c in range(0, vectors, LANES):
                FORWARD_VECTOR(args, row, c)
            for c in range(vectors, args.channels):
                FORWARD_SINGLE(args, row, c)


@compiled
def backward_blocks(address):
    """Differentiate block after block of rows until none is left."""
    args = struct_at(address, BACKWARD, 0)
    vectors = args.channels // LANES * LANES
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        begin = block * ROWS_A_BLOCK
        rows = min(ROWS_A_BLOCK, args.rows - begin)
        sums = args.sums + 12 * block * args.channels
        for c in range(0, vectors, LANES):
            BACKWARD_VECTOR(args, begin, rows, c, sums)
        for c in range(vectors, args.channels):
            BACKWARD_SINGLE(args, begin, rows, c, sums)
