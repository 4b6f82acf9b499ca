"""Batch norm and integrate-and-fire neurons over all steps on the CPU, with what the gradient of
their representation needs: sums over time. Compiled by numba."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import (
    add_lanes,
    compiled,
    fetch_and_add,
    load,
    load_bytes,
    select,
    splat,
    store,
    store_bytes,
    struct_at,
)

LANES = 16
ROWS_A_BLOCK = 16

# Layouts of the kernel argument structs. Addresses are int64, of float32 unless said otherwise.
BLOCKS = [
    ("next_block", np.int64),  # counter that the threads share
    ("blocks", np.int64),
    ("rows", np.int64),
    ("channels", np.int64),
]
FORWARD = np.dtype(
    [
        *BLOCKS,
        ("steps", np.int64),
        ("seen", np.int64),  # steps of input, 1 or `steps`
        ("x", np.int64),  # [seen, rows, channels]
        ("out", np.int64),  # [steps, rows, channels], may be x
        # Of the norm [channels]:
        ("mean", np.int64),
        ("inverse", np.int64),
        ("weight", np.int64),
        ("bias", np.int64),
        ("amplitude", np.int64),  # [channels], or one value
        ("by_channel", np.int64),
        ("weights", np.int64),  # [2, steps]: of the steps of the neurons, and of the input
        ("total", np.int64),  # Σ_t x̂_t [rows, channels], or 0
        ("weighted", np.int64),  # the weighted mean of x̂ [rows, channels], or 0
        ("region", np.int64),  # int8: -1 below, 0 inside, 1 above [rows, channels], or 0
        ("fraction", np.float32),
        ("leak", np.float32),
        ("gain", np.float32),
        ("slope", np.float32),
        ("inner_border", np.int64),  # whether a border of the region belongs to its inside
    ]
)
BACKWARD = np.dtype(
    [
        *BLOCKS,
        ("seen", np.int64),
        ("grad", np.int64),  # [seen, rows, channels]
        ("region", np.int64),  # int8 [rows, channels]
        ("total", np.int64),  # [rows, channels], or 0
        ("out", np.int64),  # D [rows, channels]
        ("weights", np.int64),  # [seen]
        ("sums", np.int64),  # [blocks, 3, channels]
        ("slope", np.float32),
    ]
)
NORM_BACKWARD = np.dtype(
    [
        *BLOCKS,
        ("q", np.int64),  # [rows, channels], D on entry
        ("of_input", np.int64),  # [rows, channels], or 0
        ("x", np.int64),  # the mean of x̂ over the steps times 1/factor [rows, channels], or 0
        # [channels]:
        ("scale", np.int64),
        ("total", np.int64),
        ("through", np.int64),
        ("factor", np.float32),
    ]
)


def _make(lanes):
    @compiled
    def forward(args, row, c):
        rows, channels = args.rows, args.channels
        mean, inverse = load(lanes, args.mean, c), load(lanes, args.inverse, c)
        weight, bias = load(lanes, args.weight, c), load(lanes, args.bias, c)
        if args.by_channel:
            amplitude = load(lanes, args.amplitude, c)
        else:
            amplitude = splat(lanes, add_lanes(load(1, args.amplitude, 0)))
        threshold = splat(lanes, args.fraction) * amplitude
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
        if args.total != 0:
            store(args.total, here, total)
        if args.weighted != 0:
            store(args.weighted, here, weighted)
        if args.region != 0:
            level = level * splat(lanes, args.slope)
            if args.inner_border:
                region = select(level < zero, zero - one, select(level > amplitude, one, zero))
            else:
                region = select(level > zero, select(level < amplitude, zero, one), zero - one)
            store_bytes(args.region, here, region)

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
            region = load_bytes(lanes, args.region, here)
            inside = select(abs(region) < half, mean * slope, zero)
            store(args.out, here, inside)
            plain = plain + inside
            if args.total != 0:
                with_x = with_x + inside * load(lanes, args.total, here)
            above = above + select(region > half, mean, zero)
        store(sums, c, plain)
        store(sums, channels + c, with_x)
        store(sums, 2 * channels + c, above)

    @compiled
    def norm_backward(args, row, rows, c):
        """q = scale (D - total / rows), and for the input q - through factor x."""
        scale = load(lanes, args.scale, c)
        offset = load(lanes, args.total, c) * splat(lanes, np.float32(1 / args.rows))
        through = load(lanes, args.through, c) * splat(lanes, args.factor)
        for r in range(row, row + rows):
            here = r * args.channels + c
            q = (load(lanes, args.q, here) - offset) * scale
            store(args.q, here, q)
            if args.of_input != 0:
                store(args.of_input, here, q - through * load(lanes, args.x, here))

    return forward, backward, norm_backward


FORWARD_VECTOR, BACKWARD_VECTOR, NORM_VECTOR = _make(LANES)
FORWARD_SINGLE, BACKWARD_SINGLE, NORM_SINGLE = _make(1)


@compiled
def forward_blocks(address):
    """Compute block after block of rows until none is left."""
    args = struct_at(address, FORWARD, 0)
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


@compiled
def norm_backward_blocks(address):
    """Differentiate the norm, block after block of rows until none is left."""
    args = struct_at(address, NORM_BACKWARD, 0)
    vectors = args.channels // LANES * LANES
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        begin = block * ROWS_A_BLOCK
        rows = min(ROWS_A_BLOCK, args.rows - begin)
        for c in range(0, vectors, LANES):
            NORM_VECTOR(args, begin, rows, c)
        for c in range(vectors, args.channels):
            NORM_SINGLE(args, begin, rows, c)
