"""Forward and backward pass of the fused layer on the CPU, compiled by numba.

Four rows at a time go through all steps with their membranes in registers: the four of a 2×2
window, or four neighbours without a pool. Where fewer are left, the first replaces the missing
ones, which have no gradient and are not stored. Threads take blocks of windows and channels; each
block has its own sums, so that the result does not depend on the number of threads.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from ...contract import SUMS
from ..simd import (
    add_lanes,
    compiled,
    fetch_and_add,
    load,
    multiply_add,
    select,
    splat,
    store,
    struct_at,
)
from .neuron import make_neuron

LANES = (16, 8, 1)  # one register of AVX-512; one of AVX2, or two of SSE or NEON; single values
CHANNELS_A_BLOCK = 64
WINDOWS_A_BLOCK = 64

# Layout of the kernel argument struct. Addresses are int64.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("channel_blocks", np.int64),
        ("first_channel", np.int64),
        ("end_channel", np.int64),  # first_channel plus a multiple of the lanes
        ("windows", np.int64),
        ("x", np.int64),
        ("table", np.int64),
        ("threshold", np.int64),
        ("thresholds", np.int64),  # 1, or as many as channels
        ("out", np.int64),  # spikes, or their gradient
        ("counts", np.int64),  # or 0
        ("q", np.int64),
        ("sums", np.int64),
        ("steps", np.int64),
        ("step_stride", np.int64),  # of x, in values: 0 where x is static
        ("rows", np.int64),
        ("out_rows", np.int64),
        ("channels", np.int64),
        ("height", np.int64),
        ("width", np.int64),
        ("window_height", np.int64),
        ("window_width", np.int64),
        ("reset", np.int64),
        ("sized", np.int64),
        ("surrogate", np.int64),
        ("once", np.int64),
        ("most", np.int64),
        ("detached", np.int64),
        ("learns_threshold", np.int64),
        ("grad_offset", np.int64),  # of the gradients in the scratch memory, behind x or q
        ("scratch_values", np.int64),  # of x or q and the gradients
        ("alpha", np.float32),
    ]
)


@compiled
def rows_of(args, window):
    """Return the four rows of a window, how many of them exist, and its output row or -1."""
    height, width = args.height, args.width
    window_height, window_width = args.window_height, args.window_width
    if window_height * window_width == 1:
        first = window * 4
        count = min(4, args.rows - first)
        second = first + 1 if count > 1 else first
        third = first + 2 if count > 2 else first
        fourth = first + 3 if count > 3 else first
        return first, second, third, fourth, count, first
    across = (width + window_width - 1) // window_width
    down = (height + window_height - 1) // window_height
    image, index = divmod(window, down * across)
    window_y, window_x = divmod(index, across)
    top, left = window_y * window_height, window_x * window_width
    first = (image * height + top) * width + left
    has_right = window_width == 2 and left + 1 < width
    has_below = window_height == 2 and top + 1 < height
    out_row = -1
    if top + window_height <= height and left + window_width <= width:
        out_height, out_width = height // window_height, width // window_width
        out_row = (image * out_height + window_y) * out_width + window_x
    if has_right and has_below:
        return first, first + 1, first + width, first + width + 1, 4, out_row
    if has_right:
        return first, first + 1, first, first, 2, out_row
    if has_below:
        return first, first + width, first, first, 2, out_row
    return first, first, first, first, 1, out_row


def _make(lanes):
    """Return both passes over all blocks, `lanes` channels at a time."""
    number_of, after_reset, adjoint = make_neuron(lanes)

    @compiled
    def constant(value):
        return splat(lanes, np.float32(value))

    @compiled
    def threshold_of(args, c):
        if args.thresholds > 1:
            return load(lanes, args.threshold, c)
        return constant(value_at(args.threshold, 0))

    @compiled
    def charge(v, x, mean, scale, bias, leak, gain):
        """The membrane before its reset."""
        return leak * v + gain * ((x - mean) * scale + bias)

    @compiled
    def forward(args, c, counts, r0, r1, r2, r3, row_count, out_row):
        x, table, out = args.x, args.table, args.out
        steps, stride = args.steps, args.step_stride
        channels, out_rows = args.channels, args.out_rows
        sized, once, integrates = args.sized != 0, args.once != 0, args.most > 0
        pooled = args.window_height * args.window_width > 1
        zero, one = constant(0.0), constant(1.0)
        threshold = threshold_of(args, c)
        v0, v1, v2, v3 = zero, zero, zero, zero
        f0, f1, f2, f3 = one, one, one, one  # 0 once a neuron has fired that fires once
        rest = steps * channels
        for t in range(steps):
            k = t * channels + c
            mean, scale = load(lanes, table, k), load(lanes, table, rest + k)
            bias = load(lanes, table, 2 * rest + k)
            leak, gain = load(lanes, table, 3 * rest + k), load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            at = t * stride + c
            v0 = charge(v0, load(lanes, x, at + r0 * channels), mean, scale, bias, leak, gain)
            v1 = charge(v1, load(lanes, x, at + r1 * channels), mean, scale, bias, leak, gain)
            v2 = charge(v2, load(lanes, x, at + r2 * channels), mean, scale, bias, leak, gain)
            v3 = charge(v3, load(lanes, x, at + r3 * channels), mean, scale, bias, leak, gain)
            n0 = number_of(v0, size, threshold, args)
            n1 = number_of(v1, size, threshold, args)
            n2 = number_of(v2, size, threshold, args)
            n3 = number_of(v3, size, threshold, args)
            v0 = after_reset(v0, n0, size, args)
            v1 = after_reset(v1, n1, size, args)
            v2 = after_reset(v2, n2, size, args)
            v3 = after_reset(v3, n3, size, args)
            if once:
                n0, n1, n2, n3 = n0 * f0, n1 * f1, n2 * f2, n3 * f3
                f0, f1, f2, f3 = f0 - n0, f1 - n1, f2 - n2, f3 - n3
            unit = size if integrates else one
            to = (t * out_rows + out_row) * channels + c
            if pooled:
                if out_row >= 0:
                    store(out, to, unit * greater(greater(n0, n1), greater(n2, n3)))
            else:
                store(out, to, unit * n0)
                if row_count > 1:
                    store(out, to + channels, unit * n1)
                if row_count > 2:
                    store(out, to + 2 * channels, unit * n2)
                if row_count > 3:
                    store(out, to + 3 * channels, unit * n3)
            if counts != 0:
                number = n0
                if row_count > 1:
                    number = number + n1
                if row_count > 2:
                    number = number + n2
                if row_count > 3:
                    number = number + n3
                add_at(counts, t, add_lanes(number))

    @compiled
    def backward(args, c, at, sums, scratch, membranes):
        """Turn x in `scratch`, at channel `at`, into q: forward over all steps, then backward."""
        table, grad = args.table, scratch + 4 * args.grad_offset
        steps, channels = args.steps, args.channels
        step_values = 0 if args.step_stride == 0 else 4 * CHANNELS_A_BLOCK
        sized, once = args.sized != 0, args.once != 0
        pooled = args.window_height * args.window_width > 1
        learns_threshold = args.learns_threshold != 0
        zero, never = constant(0.0), constant(steps)
        alpha = constant(args.alpha)
        threshold = threshold_of(args, c)
        rest = steps * channels
        v0, v1, v2, v3 = zero, zero, zero, zero
        f0, f1, f2, f3 = never, never, never, never  # the first step with a spike
        for t in range(steps):
            k = t * channels + c
            mean, scale = load(lanes, table, k), load(lanes, table, rest + k)
            bias = load(lanes, table, 2 * rest + k)
            leak, gain = load(lanes, table, 3 * rest + k), load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            x0, x1, x2, x3 = load_four(scratch, t * step_values + at, CHANNELS_A_BLOCK)
            v0 = charge(v0, x0, mean, scale, bias, leak, gain)
            v1 = charge(v1, x1, mean, scale, bias, leak, gain)
            v2 = charge(v2, x2, mean, scale, bias, leak, gain)
            v3 = charge(v3, x3, mean, scale, bias, leak, gain)
            store_four(membranes, t * 4 * lanes, lanes, v0, v1, v2, v3)
            n0 = number_of(v0, size, threshold, args)
            n1 = number_of(v1, size, threshold, args)
            n2 = number_of(v2, size, threshold, args)
            n3 = number_of(v3, size, threshold, args)
            v0 = after_reset(v0, n0, size, args)
            v1 = after_reset(v1, n1, size, args)
            v2 = after_reset(v2, n2, size, args)
            v3 = after_reset(v3, n3, size, args)
            if once:
                now = constant(t)
                f0, f1 = earlier(f0, n0, now, zero), earlier(f1, n1, now, zero)
                f2, f3 = earlier(f2, n2, now, zero), earlier(f3, n3, now, zero)
        q0, q1, q2, q3 = zero, zero, zero, zero
        g0, g1, g2, g3 = zero, zero, zero, zero  # ∂L/∂v_t after the reset
        v0, v1, v2, v3 = load_four(membranes, (steps - 1) * 4 * lanes, lanes)
        for t in range(steps - 1, -1, -1):
            k = t * channels + c
            mean, leak = load(lanes, table, k), load(lanes, table, 3 * rest + k)
            factor = load(lanes, table, rest + k) * load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            n0 = number_of(v0, size, threshold, args)
            n1 = number_of(v1, size, threshold, args)
            n2 = number_of(v2, size, threshold, args)
            n3 = number_of(v3, size, threshold, args)
            if once:
                now = constant(t)
                n0, n1 = until(f0, n0, now, zero), until(f1, n1, now, zero)
                n2, n3 = until(f2, n2, now, zero), until(f3, n3, now, zero)
            if pooled:
                d = load(lanes, grad, t * CHANNELS_A_BLOCK + at)
                most = greater(greater(n0, n1), greater(n2, n3))
                d0, d3 = select(n0 < most, zero, d), select(n0 < most, d, zero)
                d1, d3 = select(n1 < most, zero, d3), select(n1 < most, d3, zero)
                d2, d3 = select(n2 < most, zero, d3), select(n2 < most, d3, zero)
            else:
                d0, d1, d2, d3 = load_four(grad, t * 4 * CHANNELS_A_BLOCK + at, CHANNELS_A_BLOCK)
            if once:
                now = constant(t)
                d0, d1 = until(f0, d0, now, zero), until(f1, d1, now, zero)
                d2, d3 = until(f2, d2, now, zero), until(f3, d3, now, zero)
            g0, h0, r0 = adjoint(v0, n0, d0, g0, size, threshold, alpha, args)
            g1, h1, r1 = adjoint(v1, n1, d1, g1, size, threshold, alpha, args)
            g2, h2, r2 = adjoint(v2, n2, d2, g2, size, threshold, alpha, args)
            g3, h3, r3 = adjoint(v3, n3, d3, g3, size, threshold, alpha, args)
            if learns_threshold:
                add_to(sums, 3 * rest + k, (h0 + h1) + (h2 + h3))
            if sized:
                add_to(sums, 4 * rest + k, (r0 + r1) + (r2 + r3))
            x0, x1, x2, x3 = load_four(scratch, t * step_values + at, CHANNELS_A_BLOCK)
            add_to(sums, k, (g0 + g1) + (g2 + g3))
            add_to(
                sums,
                rest + k,
                multiply_add(g0, x0 - mean, g1 * (x1 - mean))
                + multiply_add(g2, x2 - mean, g3 * (x3 - mean)),
            )
            if t > 0:
                v0, v1, v2, v3 = load_four(membranes, (t - 1) * 4 * lanes, lanes)
                size = load(lanes, table, 5 * rest + k - channels) if sized else threshold
                p0 = after_reset(v0, number_of(v0, size, threshold, args), size, args)
                p1 = after_reset(v1, number_of(v1, size, threshold, args), size, args)
                p2 = after_reset(v2, number_of(v2, size, threshold, args), size, args)
                p3 = after_reset(v3, number_of(v3, size, threshold, args), size, args)
                decayed = multiply_add(g0, p0, g1 * p1) + multiply_add(g2, p2, g3 * p3)
                add_to(sums, 2 * rest + k, decayed)
            if step_values > 0:  # q_t overwrites x_t, which is no longer needed
                store_four(
                    scratch,
                    t * step_values + at,
                    CHANNELS_A_BLOCK,
                    factor * g0,
                    factor * g1,
                    factor * g2,
                    factor * g3,
                )
            else:
                q0, q1 = multiply_add(factor, g0, q0), multiply_add(factor, g1, q1)
                q2, q3 = multiply_add(factor, g2, q2), multiply_add(factor, g3, q3)
            g0, g1, g2, g3 = leak * g0, leak * g1, leak * g2, leak * g3
        if step_values == 0:
            store_four(scratch, at, CHANNELS_A_BLOCK, q0, q1, q2, q3)

    @compiled
    def load_four(address, at, stride):
        return (
            load(lanes, address, at),
            load(lanes, address, at + stride),
            load(lanes, address, at + 2 * stride),
            load(lanes, address, at + 3 * stride),
        )

    @compiled
    def store_four(address, at, stride, a, b, c, d):
        store(address, at, a)
        store(address, at + stride, b)
        store(address, at + 2 * stride, c)
        store(address, at + 3 * stride, d)

    @compiled
    def copy(to, at, source, index, count):
        for c in range(0, count, lanes):
            store(to, at + c, load(lanes, source, index + c))

    @compiled
    def clear(to, at, count):
        for c in range(0, count, lanes):
            store(to, at + c, constant(0.0))

    @compiled
    def add_to(address, index, value):
        store(address, index, load(lanes, address, index) + value)

    @compiled
    def pack(args, scratch, begin, count, r0, r1, r2, r3, row_count, out_row):
        """Copy x and the gradients of a window into the scratch memory.

        Steps lie far apart in memory, often by a multiple of the cache's way size, so that they
        evict each other: each cache line is read once, completely.
        """
        x, grad, channels = args.x, args.out, args.channels
        stride, grad_offset = args.step_stride, args.grad_offset
        pooled = args.window_height * args.window_width > 1
        for t in range(args.steps):
            if t == 0 or stride > 0:
                at = t * 4 * CHANNELS_A_BLOCK
                source = t * stride + begin
                copy(scratch, at, x, source + r0 * channels, count)
                copy(scratch, at + CHANNELS_A_BLOCK, x, source + r1 * channels, count)
                copy(scratch, at + 2 * CHANNELS_A_BLOCK, x, source + r2 * channels, count)
                copy(scratch, at + 3 * CHANNELS_A_BLOCK, x, source + r3 * channels, count)
            source = (t * args.out_rows + out_row) * channels + begin
            if pooled:
                copy(scratch, grad_offset + t * CHANNELS_A_BLOCK, grad, source, count)
            else:
                at = grad_offset + t * 4 * CHANNELS_A_BLOCK
                for row in range(4):
                    if row < row_count:
                        copy(scratch, at, grad, source + row * channels, count)
                    else:
                        clear(scratch, at, count)
                    at += CHANNELS_A_BLOCK

    @compiled
    def unpack(args, scratch, begin, count, r0, r1, r2, r3, row_count, out_row):
        """Store q of the rows that exist: from the scratch memory, or 0 without a gradient."""
        q, channels, stride = args.q, args.channels, args.step_stride
        for t in range(args.steps if stride > 0 else 1):
            for row in range(row_count):
                r = r0 if row == 0 else (r1 if row == 1 else (r2 if row == 2 else r3))
                to = t * stride + r * channels + begin
                if out_row < 0:
                    clear(q, to, count)
                else:
                    copy(q, to, scratch, (t * 4 + row) * CHANNELS_A_BLOCK, count)

    @compiled
    def forward_blocks(address):
        """Run the forward pass of block after block until none is left."""
        args = struct_at(address, ARGUMENTS, 0)
        blocks, channel_blocks = args.blocks, args.channel_blocks
        windows, end = args.windows, args.end_channel
        counts = args.counts
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= blocks:
                return
            chunk, part = divmod(block, channel_blocks)
            begin = args.first_channel + part * CHANNELS_A_BLOCK
            block_counts = counts + 4 * block * args.steps if counts != 0 else 0
            for window in range(
                chunk * WINDOWS_A_BLOCK, min(windows, (chunk + 1) * WINDOWS_A_BLOCK)
            ):
                r0, r1, r2, r3, row_count, out_row = rows_of(args, window)
                for c in range(begin, min(end, begin + CHANNELS_A_BLOCK), lanes):
                    forward(args, c, block_counts, r0, r1, r2, r3, row_count, out_row)

    @compiled
    def backward_blocks(address):
        """Run the backward pass of block after block until none is left."""
        args = struct_at(address, ARGUMENTS, 0)
        blocks, channel_blocks = args.blocks, args.channel_blocks
        windows, channels, steps = args.windows, args.channels, args.steps
        memory = np.empty(args.scratch_values + steps * 4 * lanes, np.float32)
        scratch = memory.ctypes.data
        membranes = scratch + 4 * args.scratch_values
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= blocks:
                memory[0] = 0  # a use: numba frees an array after its last one
                return
            chunk, part = divmod(block, channel_blocks)
            begin = args.first_channel + part * CHANNELS_A_BLOCK
            count = min(args.end_channel - begin, CHANNELS_A_BLOCK)
            sums = args.sums + 4 * chunk * SUMS * steps * channels
            for window in range(
                chunk * WINDOWS_A_BLOCK, min(windows, (chunk + 1) * WINDOWS_A_BLOCK)
            ):
                r0, r1, r2, r3, row_count, out_row = rows_of(args, window)
                if out_row >= 0:
                    pack(args, scratch, begin, count, r0, r1, r2, r3, row_count, out_row)
                    for c in range(0, count, lanes):
                        backward(args, begin + c, c, sums, scratch, membranes)
                unpack(args, scratch, begin, count, r0, r1, r2, r3, row_count, out_row)

    return forward_blocks, backward_blocks


@compiled
def greater(a, b):
    """Return the greater of two numbers in each lane."""
    return select(a > b, a, b)


@compiled
def earlier(first, n, now, zero):
    """Return the first step with a spike, after a step of `n` spikes."""
    return select(n > zero, select(first < now, first, now), first)


@compiled
def until(first, value, now, zero):
    """Return a value up to the step of the first spike, 0 after it."""
    return select(first < now, zero, value)


@compiled
def value_at(address, index):
    return add_lanes(load(1, address, index))


@compiled
def add_at(address, index, value):
    store(address, index, splat(1, np.float32(value_at(address, index) + value)))


forward_16, backward_16 = _make(16)
forward_8, backward_8 = _make(8)
forward_1, backward_1 = _make(1)
