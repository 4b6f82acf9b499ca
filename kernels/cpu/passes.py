"""The two passes of the CPU kernels, compiled by numba: all steps forward, and back again.

Four rows at a time go through all steps with their membranes in registers: the four of a 2×2
window, or four neighbours where nothing is pooled. Where fewer are left, the first stands in for
the missing ones, which have no gradient and are not stored. Threads take blocks of windows and
channels; a block adds to sums of its own, so that the result does not depend on who took it.

Each task has one argument, the address of an int64 array that says where things are and how many
there are.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import math

import numpy as np

from ..contract import SUMS
from ..rules import ATAN, SIGMOID, SUBTRACT, TRIANGULAR, ZERO
from .simd import (
    add_lanes,
    compiled,
    fetch_and_add,
    load,
    multiply_add,
    raise_exponent,
    read,
    select,
    splat,
    store,
)

# One register of AVX-512; one of AVX, or two of SSE or NEON; one by one.
LANES = {"wide": 16, "whole": 8, "rest": 1}
CHANNELS_A_BLOCK = 64
WINDOWS_A_BLOCK = 64
LOG2_E = math.log2(math.e)
LN_2 = math.log(2)
ROUNDING = 1.5 * 2**23  # added to a float32, it rounds to a whole number

# What a task finds at its address.
(
    NEXT,  # the next block, shared by the threads
    BLOCKS,
    CHANNEL_BLOCKS,
    FIRST_CHANNEL,  # those from here on...
    LAST_CHANNEL,  # ... up to here, their number a multiple of the lanes
    WINDOWS,
    X,
    TABLE,
    THRESHOLD,
    OUT,  # spikes, or their gradient
    COUNTS,
    Q,
    SUMS_AT,
    ALPHA,
    STEPS,
    STRIDE,  # of x between two steps, in values: 0 where x is static
    ROWS,
    OUT_ROWS,
    CHANNELS,
    HEIGHT,
    WIDTH,
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
    RESET,
    SIZED,
    SURROGATE,
    LEARNS_THRESHOLD,
    NEAR,  # values that a thread keeps near: x, or q, from 0 on, and gradients
    NEAR_GRAD,  # where the gradients begin
    ARGUMENTS,
) = range(30)


@compiled
def place_of(args, window):
    """Return the rows of a window, how many are real, and its row of the output or -1."""
    height, width = read(args, HEIGHT), read(args, WIDTH)
    tall, wide = read(args, WINDOW_HEIGHT), read(args, WINDOW_WIDTH)
    if tall * wide == 1:
        first = window * 4
        real = min(4, read(args, ROWS) - first)
        second = first + 1 if real > 1 else first
        third = first + 2 if real > 2 else first
        fourth = first + 3 if real > 3 else first
        return first, second, third, fourth, real, first
    columns = (width + wide - 1) // wide
    lines = (height + tall - 1) // tall
    image, place = divmod(window, lines * columns)
    line, column = divmod(place, columns)
    top, left = line * tall, column * wide
    first = (image * height + top) * width + left
    right = wide == 2 and left + 1 < width
    below = tall == 2 and top + 1 < height
    out = -1
    if top + tall <= height and left + wide <= width:
        out = (image * (height // tall) + line) * (width // wide) + column
    if right and below:
        return first, first + 1, first + width, first + width + 1, 4, out
    if right:
        return first, first + 1, first, first, 2, out
    if below:
        return first, first + width, first, first, 2, out
    return first, first, first, first, 1, out


def _make(lanes):
    """Return the two passes over all blocks, `lanes` channels at a time."""

    @compiled
    def constant(value):
        return splat(lanes, np.float32(value))

    @compiled
    def exp_of_minus(z):
        """e^-z for 0 <= z <= 80, to 1e-6: 2^k by its exponent, the rest by its Taylor series."""
        shifted = multiply_add(z, constant(-LOG2_E), constant(ROUNDING))
        k = shifted - constant(ROUNDING)
        r = multiply_add(k, constant(-LN_2), constant(0.0) - z)
        p = multiply_add(r, constant(1 / 720), constant(1 / 120))
        p = multiply_add(r, p, constant(1 / 24))
        p = multiply_add(r, p, constant(1 / 6))
        p = multiply_add(r, p, constant(0.5))
        p = multiply_add(r, p, constant(1.0))
        p = multiply_add(r, p, constant(1.0))
        return raise_exponent(p, shifted)

    @compiled
    def derivative(u, surrogate, alpha):
        one = constant(1.0)
        if surrogate == SIGMOID:  # σ(z)(1 - σ(z)) is even: with e^-|z| nothing overflows
            z = abs(u) * alpha
            limit = constant(80.0)
            e = exp_of_minus(select(z < limit, z, limit))
            return alpha * e / ((one + e) * (one + e))
        if surrogate == ATAN:
            z = constant(math.pi / 2) * alpha * u
            return constant(0.5) * alpha / (one + z * z)
        if surrogate == TRIANGULAR:
            return select(u < constant(0.0), alpha, constant(0.0) - alpha)
        z = alpha * abs(u) + one
        return one / (z * z)

    @compiled
    def forward(args, c, counts, r0, r1, r2, r3, real, place):
        x, table, out = read(args, X), read(args, TABLE), read(args, OUT)
        steps, stride = read(args, STEPS), read(args, STRIDE)
        channels, out_rows = read(args, CHANNELS), read(args, OUT_ROWS)
        reset, sized = read(args, RESET), read(args, SIZED) != 0
        pooled = read(args, WINDOW_HEIGHT) * read(args, WINDOW_WIDTH) > 1
        zero, one = constant(0.0), constant(1.0)
        threshold = constant(value_at(read(args, THRESHOLD), 0))
        v0, v1, v2, v3 = zero, zero, zero, zero
        rest = steps * channels
        for t in range(steps):
            k = t * channels + c
            mean, scale = load(lanes, table, k), load(lanes, table, rest + k)
            bias = load(lanes, table, 2 * rest + k)
            leak, gain = load(lanes, table, 3 * rest + k), load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            at = t * stride + c
            v0 = leak * v0 + gain * ((load(lanes, x, at + r0 * channels) - mean) * scale + bias)
            v1 = leak * v1 + gain * ((load(lanes, x, at + r1 * channels) - mean) * scale + bias)
            v2 = leak * v2 + gain * ((load(lanes, x, at + r2 * channels) - mean) * scale + bias)
            v3 = leak * v3 + gain * ((load(lanes, x, at + r3 * channels) - mean) * scale + bias)
            s0 = distance(v0, size, threshold, sized) > zero
            s1 = distance(v1, size, threshold, sized) > zero
            s2 = distance(v2, size, threshold, sized) > zero
            s3 = distance(v3, size, threshold, sized) > zero
            v0 = after(v0, s0, size, zero, reset)
            v1 = after(v1, s1, size, zero, reset)
            v2 = after(v2, s2, size, zero, reset)
            v3 = after(v3, s3, size, zero, reset)
            to = (t * out_rows + place) * channels + c
            if pooled:
                if place >= 0:
                    store(out, to, select(s0 | s1 | s2 | s3, one, zero))
            else:
                store(out, to, select(s0, one, zero))
                if real > 1:
                    store(out, to + channels, select(s1, one, zero))
                if real > 2:
                    store(out, to + 2 * channels, select(s2, one, zero))
                if real > 3:
                    store(out, to + 3 * channels, select(s3, one, zero))
            if counts != 0:
                number = select(s0, one, zero)
                if real > 1:
                    number = number + select(s1, one, zero)
                if real > 2:
                    number = number + select(s2, one, zero)
                if real > 3:
                    number = number + select(s3, one, zero)
                add_at(counts, t, add_lanes(number))

    @compiled
    def backward(args, c, at, sums, near, membranes):
        """Go through all steps and back; `near` holds x and its gradients, at channel `at`."""
        table, grad = read(args, TABLE), near + 4 * read(args, NEAR_GRAD)
        steps, channels = read(args, STEPS), read(args, CHANNELS)
        moves = 0 if read(args, STRIDE) == 0 else 4 * CHANNELS_A_BLOCK
        reset, sized = read(args, RESET), read(args, SIZED) != 0
        pooled = read(args, WINDOW_HEIGHT) * read(args, WINDOW_WIDTH) > 1
        surrogate = read(args, SURROGATE)
        learns_threshold = read(args, LEARNS_THRESHOLD) != 0
        zero = constant(0.0)
        alpha = constant(value_at(read(args, ALPHA), 0))
        threshold = constant(value_at(read(args, THRESHOLD), 0))
        rest = steps * channels
        v0, v1, v2, v3 = zero, zero, zero, zero
        for t in range(steps):
            k = t * channels + c
            mean, scale = load(lanes, table, k), load(lanes, table, rest + k)
            bias = load(lanes, table, 2 * rest + k)
            leak, gain = load(lanes, table, 3 * rest + k), load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            x0, x1, x2, x3 = load_four(near, t * moves + at, CHANNELS_A_BLOCK)
            v0 = leak * v0 + gain * ((x0 - mean) * scale + bias)
            v1 = leak * v1 + gain * ((x1 - mean) * scale + bias)
            v2 = leak * v2 + gain * ((x2 - mean) * scale + bias)
            v3 = leak * v3 + gain * ((x3 - mean) * scale + bias)
            store_four(membranes, t * 4 * lanes, lanes, v0, v1, v2, v3)
            v0 = after(v0, distance(v0, size, threshold, sized) > zero, size, zero, reset)
            v1 = after(v1, distance(v1, size, threshold, sized) > zero, size, zero, reset)
            v2 = after(v2, distance(v2, size, threshold, sized) > zero, size, zero, reset)
            v3 = after(v3, distance(v3, size, threshold, sized) > zero, size, zero, reset)
        q0, q1, q2, q3 = zero, zero, zero, zero
        g0, g1, g2, g3 = zero, zero, zero, zero  # ∂L/∂v_t after the reset
        v0, v1, v2, v3 = load_four(membranes, (steps - 1) * 4 * lanes, lanes)
        for t in range(steps - 1, -1, -1):
            k = t * channels + c
            mean, leak = load(lanes, table, k), load(lanes, table, 3 * rest + k)
            factor = load(lanes, table, rest + k) * load(lanes, table, 4 * rest + k)
            size = load(lanes, table, 5 * rest + k) if sized else threshold
            u0 = distance(v0, size, threshold, sized)
            u1 = distance(v1, size, threshold, sized)
            u2 = distance(v2, size, threshold, sized)
            u3 = distance(v3, size, threshold, sized)
            s0, s1, s2, s3 = u0 > zero, u1 > zero, u2 > zero, u3 > zero
            if pooled:
                d = load(lanes, grad, t * CHANNELS_A_BLOCK + at)
                d0 = select(s0, d, select(s1 | s2 | s3, zero, d))
                d1 = select(s0, zero, select(s1, d, zero))
                d2 = select(s0 | s1, zero, select(s2, d, zero))
                d3 = select(s0 | s1 | s2, zero, select(s3, d, zero))
            else:
                d0, d1, d2, d3 = load_four(grad, t * 4 * CHANNELS_A_BLOCK + at, CHANNELS_A_BLOCK)
            d0 = before(d0, g0, v0, size, reset) * derivative(u0, surrogate, alpha)
            d1 = before(d1, g1, v1, size, reset) * derivative(u1, surrogate, alpha)
            d2 = before(d2, g2, v2, size, reset) * derivative(u2, surrogate, alpha)
            d3 = before(d3, g3, v3, size, reset) * derivative(u3, surrogate, alpha)
            if sized or learns_threshold:
                of_amount = zero
                if reset == SUBTRACT:
                    of_amount = zero - (
                        (select(s0, g0, zero) + select(s1, g1, zero))
                        + (select(s2, g2, zero) + select(s3, g3, zero))
                    )
                shift = (d0 + d1) + (d2 + d3)
                if sized:
                    back = (d0 * v0 + d1 * v1) + (d2 * v2 + d3 * v3)
                    add_to(sums, 4 * rest + k, of_amount - back / (size * size))
                    add_to(sums, 3 * rest + k, zero - shift)
                    d0, d1, d2, d3 = d0 / size, d1 / size, d2 / size, d3 / size
                else:
                    add_to(sums, 3 * rest + k, of_amount - shift)
            if reset == ZERO:
                g0, g1 = select(s0, zero, g0), select(s1, zero, g1)
                g2, g3 = select(s2, zero, g2), select(s3, zero, g3)
            g0, g1, g2, g3 = g0 + d0, g1 + d1, g2 + d2, g3 + d3
            x0, x1, x2, x3 = load_four(near, t * moves + at, CHANNELS_A_BLOCK)
            add_to(sums, k, (g0 + g1) + (g2 + g3))
            add_to(
                sums,
                rest + k,
                multiply_add(g0, x0 - mean, g1 * (x1 - mean))
                + multiply_add(g2, x2 - mean, g3 * (x3 - mean)),
            )
            if t > 0:
                v0, v1, v2, v3 = load_four(membranes, (t - 1) * 4 * lanes, lanes)
                former = load(lanes, table, 5 * rest + k - channels) if sized else threshold
                p0 = after(v0, distance(v0, former, threshold, sized) > zero, former, zero, reset)
                p1 = after(v1, distance(v1, former, threshold, sized) > zero, former, zero, reset)
                p2 = after(v2, distance(v2, former, threshold, sized) > zero, former, zero, reset)
                p3 = after(v3, distance(v3, former, threshold, sized) > zero, former, zero, reset)
                back = multiply_add(g0, p0, g1 * p1) + multiply_add(g2, p2, g3 * p3)
                add_to(sums, 2 * rest + k, back)
            if moves > 0:  # x_t is not needed any more: q_t takes its place
                store_four(
                    near,
                    t * moves + at,
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
        if moves == 0:
            store_four(near, at, CHANNELS_A_BLOCK, q0, q1, q2, q3)

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
    def copy(to, at, source, index, number):
        for c in range(0, number, lanes):
            store(to, at + c, load(lanes, source, index + c))

    @compiled
    def clear(to, at, number):
        for c in range(0, number, lanes):
            store(to, at + c, constant(0.0))

    @compiled
    def add_to(address, index, value):
        store(address, index, load(lanes, address, index) + value)

    @compiled
    def fetch(args, near, begin, number, r0, r1, r2, r3, real, place):
        """Bring x and the gradients of a window together.

        Steps lie far apart in memory, often by a multiple of what a cache is wide, so that they
        drive each other out of it: each line is fetched once, whole.
        """
        x, grad, channels = read(args, X), read(args, OUT), read(args, CHANNELS)
        stride, near_grad = read(args, STRIDE), read(args, NEAR_GRAD)
        pooled = read(args, WINDOW_HEIGHT) * read(args, WINDOW_WIDTH) > 1
        for t in range(read(args, STEPS)):
            if t == 0 or stride > 0:
                at = t * 4 * CHANNELS_A_BLOCK
                source = t * stride + begin
                copy(near, at, x, source + r0 * channels, number)
                copy(near, at + CHANNELS_A_BLOCK, x, source + r1 * channels, number)
                copy(near, at + 2 * CHANNELS_A_BLOCK, x, source + r2 * channels, number)
                copy(near, at + 3 * CHANNELS_A_BLOCK, x, source + r3 * channels, number)
            source = (t * read(args, OUT_ROWS) + place) * channels + begin
            if pooled:
                copy(near, near_grad + t * CHANNELS_A_BLOCK, grad, source, number)
            else:
                at = near_grad + t * 4 * CHANNELS_A_BLOCK
                for row in range(4):
                    if row < real:
                        copy(near, at, grad, source + row * channels, number)
                    else:
                        clear(near, at, number)
                    at += CHANNELS_A_BLOCK

    @compiled
    def bring_back(args, near, begin, number, r0, r1, r2, r3, real, place):
        """Store q of the rows that are real: from `near`, or 0 where nothing came back."""
        q, channels, stride = read(args, Q), read(args, CHANNELS), read(args, STRIDE)
        for t in range(read(args, STEPS) if stride > 0 else 1):
            for row in range(real):
                r = r0 if row == 0 else (r1 if row == 1 else (r2 if row == 2 else r3))
                to = t * stride + r * channels + begin
                if place < 0:
                    clear(q, to, number)
                else:
                    copy(q, to, near, (t * 4 + row) * CHANNELS_A_BLOCK, number)

    @compiled
    def forward_blocks(args):
        """Take blocks until none is left, forward."""
        blocks, channel_blocks = read(args, BLOCKS), read(args, CHANNEL_BLOCKS)
        windows, last = read(args, WINDOWS), read(args, LAST_CHANNEL)
        counts = read(args, COUNTS)
        while True:
            block = fetch_and_add(args + 8 * NEXT, 1)
            if block >= blocks:
                return
            chunk, part = divmod(block, channel_blocks)
            begin = read(args, FIRST_CHANNEL) + part * CHANNELS_A_BLOCK
            count = counts + 4 * block * read(args, STEPS) if counts != 0 else 0
            for window in range(
                chunk * WINDOWS_A_BLOCK, min(windows, (chunk + 1) * WINDOWS_A_BLOCK)
            ):
                r0, r1, r2, r3, real, place = place_of(args, window)
                for c in range(begin, min(last, begin + CHANNELS_A_BLOCK), lanes):
                    forward(args, c, count, r0, r1, r2, r3, real, place)

    @compiled
    def backward_blocks(args):
        """Take blocks until none is left, back."""
        blocks, channel_blocks = read(args, BLOCKS), read(args, CHANNEL_BLOCKS)
        windows, channels, steps = read(args, WINDOWS), read(args, CHANNELS), read(args, STEPS)
        memory = np.empty(read(args, NEAR) + steps * 4 * lanes, np.float32)
        near = memory.ctypes.data
        membranes = near + 4 * read(args, NEAR)
        while True:
            block = fetch_and_add(args + 8 * NEXT, 1)
            if block >= blocks:
                memory[0] = 0  # numba frees an array after its last use, and an address is none
                return
            chunk, part = divmod(block, channel_blocks)
            begin = read(args, FIRST_CHANNEL) + part * CHANNELS_A_BLOCK
            number = min(read(args, LAST_CHANNEL) - begin, CHANNELS_A_BLOCK)
            sums = read(args, SUMS_AT) + 4 * chunk * SUMS * steps * channels
            for window in range(
                chunk * WINDOWS_A_BLOCK, min(windows, (chunk + 1) * WINDOWS_A_BLOCK)
            ):
                r0, r1, r2, r3, real, place = place_of(args, window)
                if place >= 0:
                    fetch(args, near, begin, number, r0, r1, r2, r3, real, place)
                    for c in range(0, number, lanes):
                        backward(args, begin + c, c, sums, near, membranes)
                bring_back(args, near, begin, number, r0, r1, r2, r3, real, place)

    return forward_blocks, backward_blocks


@compiled
def distance(v, size, threshold, sized):
    """How far a membrane is above the threshold, in units of the reset size if there is one."""
    return v / size - threshold if sized else v - threshold


@compiled
def after(v, s, amount, zero, reset):
    """The membrane after its reset."""
    if reset == SUBTRACT:
        return v - select(s, amount, zero)
    if reset == ZERO:
        return select(s, zero, v)
    return v


@compiled
def before(d, g, v, amount, reset):
    """∂L/∂s of a spike with gradient `d` of its own, through the reset too."""
    if reset == SUBTRACT:
        return d - amount * g
    if reset == ZERO:
        return d - v * g
    return d


@compiled
def value_at(address, index):
    return add_lanes(load(1, address, index))


@compiled
def add_at(address, index, value):
    store(address, index, splat(1, np.float32(value_at(address, index) + value)))


forward_wide, backward_wide = _make(LANES["wide"])
forward_whole, backward_whole = _make(LANES["whole"])
forward_rest, backward_rest = _make(LANES["rest"])
