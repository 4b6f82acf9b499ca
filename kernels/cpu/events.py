"""Convolution that follows the spikes, compiled by numba: where little is active, little is done.

Each image is first compressed to lists, for each pixel, of its active channels and their values.
An output pixel adds up the weights of what is active in its window; a weight gradient adds up
the gradients of the output pixels that an active input reaches. Output channels lie in vector
registers, so that their number is a multiple of `OUT_LANES`.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np
from numba import carray  # pyright: ignore

from .simd import (
    add_lanes,
    bits_of_bytes,
    bits_other_than,
    compiled,
    fetch_and_add,
    load,
    lowest_bit,
    multiply_add,
    pointer,
    read,
    read_byte,
    splat,
    store,
)

OUT_LANES = 16

# What a task finds at its address. Images are [N, height, width, channels], weights
# [in, kernel height, kernel width, out].
(
    NEXT,  # the next block, shared by the threads
    BLOCKS,
    IMAGES_A_BLOCK,
    IMAGES,
    X,
    MARKS,  # or one byte for each value, 0 or 1; where these are not there, 0
    OTHERS,  # how many values are neither 0 nor 1
    WEIGHT,
    BIAS,  # or 0
    OUT,  # or its gradient
    SUMS,  # gradients of the weights, for each block
    IN,
    OUT_CHANNELS,
    HEIGHT,
    WIDTH,
    OUT_HEIGHT,
    OUT_WIDTH,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    STRIDE_Y,
    STRIDE_X,
    PADDING_Y,
    PADDING_X,
    SCRATCH,  # memory for each thread
    SCRATCH_BYTES,
    TAKEN,  # by how many threads
    ARGUMENTS,
) = range(27)


@compiled
def compress(x, pixels, channels, row, starts, rows, values):
    """List what is active: `rows` is channel times `row`, where its weights begin.

    Returns how many values are neither 0 nor 1, or how many vectors hold such a value.
    """
    number, others = 0, 0
    vectors = channels // OUT_LANES * OUT_LANES
    for pixel in range(pixels):
        starts[pixel] = number
        at = pixel * channels
        for c in range(0, vectors, OUT_LANES):
            vector = load(OUT_LANES, x, at + c)
            bits = bits_other_than(vector, np.float32(0))
            others += (bits & bits_other_than(vector, np.float32(1))) != 0
            while bits != 0:
                lane = lowest_bit(bits)
                bits &= bits - 1
                rows[number] = (c + lane) * row
                values[number] = add_lanes(load(1, x, at + c + lane))
                number += 1
        for c in range(vectors, channels):
            value = add_lanes(load(1, x, at + c))
            rows[number] = c * row
            values[number] = value
            number += value != 0
            others += (value != 0) & (value != 1)
    starts[pixels] = number
    return others


@compiled
def compress_marks(marks, pixels, channels, row, starts, rows, values):
    """The same from one byte for each value, 0 or 1."""
    number = 0
    vectors = channels // OUT_LANES * OUT_LANES
    for pixel in range(pixels):
        starts[pixel] = number
        at = pixel * channels
        for c in range(0, vectors, OUT_LANES):
            bits = bits_of_bytes(OUT_LANES, marks, at + c)
            while bits != 0:
                rows[number] = (c + lowest_bit(bits)) * row
                values[number] = 1
                number += 1
                bits &= bits - 1
        for c in range(vectors, channels):
            rows[number] = c * row
            values[number] = 1
            number += read_byte(marks, at + c)
    starts[pixels] = number


def _make(number):
    """Return the loops over `number` vectors of output channels, 1 to 4."""

    @compiled
    def gather(args, image, c, starts, rows, values):
        """out[y, x] = Σ over the window and what is active in it, of value times weights."""
        weight, channels = read(args, WEIGHT), read(args, OUT_CHANNELS)
        height, width = read(args, HEIGHT), read(args, WIDTH)
        kernel_height, kernel_width = read(args, KERNEL_HEIGHT), read(args, KERNEL_WIDTH)
        out_height, out_width = read(args, OUT_HEIGHT), read(args, OUT_WIDTH)
        out = read(args, OUT) + 4 * image * out_height * out_width * channels
        zero = splat(OUT_LANES, np.float32(0))
        bias = read(args, BIAS)
        first = load(OUT_LANES, bias, c) if bias != 0 else zero
        second = load(OUT_LANES, bias, c + 16) if bias != 0 and number > 1 else zero
        third = load(OUT_LANES, bias, c + 32) if bias != 0 and number > 2 else zero
        fourth = load(OUT_LANES, bias, c + 48) if bias != 0 and number > 3 else zero
        for oy in range(out_height):
            top = oy * read(args, STRIDE_Y) - read(args, PADDING_Y)
            line = oy * out_width * channels + c
            for ox in range(out_width):
                put(out, line + ox * channels, first, second, third, fourth)
            # One line of the kernel at a time, so that its weights stay in the first cache.
            for ky in range(max(0, -top), min(kernel_height, height - top)):
                above = (top + ky) * width
                for ox in range(out_width):
                    left = ox * read(args, STRIDE_X) - read(args, PADDING_X)
                    at = line + ox * channels
                    a = load(OUT_LANES, out, at)
                    b = load(OUT_LANES, out, at + 16) if number > 1 else zero
                    d = load(OUT_LANES, out, at + 32) if number > 2 else zero
                    e = load(OUT_LANES, out, at + 48) if number > 3 else zero
                    for kx in range(max(0, -left), min(kernel_width, width - left)):
                        begin = (ky * kernel_width + kx) * channels + c
                        pixel = above + left + kx
                        for i in range(starts[pixel], starts[pixel + 1]):
                            w = begin + rows[i]
                            value = splat(OUT_LANES, values[i])
                            a = multiply_add(value, load(OUT_LANES, weight, w), a)
                            if number > 1:
                                b = multiply_add(value, load(OUT_LANES, weight, w + 16), b)
                            if number > 2:
                                d = multiply_add(value, load(OUT_LANES, weight, w + 32), d)
                            if number > 3:
                                e = multiply_add(value, load(OUT_LANES, weight, w + 48), e)
                    put(out, at, a, b, d, e)

    @compiled
    def put(out, at, a, b, d, e):
        store(out, at, a)
        if number > 1:
            store(out, at + 16, b)
        if number > 2:
            store(out, at + 32, d)
        if number > 3:
            store(out, at + 48, e)

    @compiled
    def scatter(args, image, c, sums, starts, rows, values):
        """sums[in, ky, kx] += value times the gradient of the output pixels that it reaches."""
        channels = read(args, OUT_CHANNELS)
        height, width = read(args, HEIGHT), read(args, WIDTH)
        kernel_width = read(args, KERNEL_WIDTH)
        out_height, out_width = read(args, OUT_HEIGHT), read(args, OUT_WIDTH)
        grad = read(args, OUT) + 4 * image * out_height * out_width * channels
        for ky in range(read(args, KERNEL_HEIGHT)):
            for kx in range(kernel_width):  # one tap at a time, so that its sums stay near
                begin = (ky * kernel_width + kx) * channels + c
                for oy in range(out_height):
                    y = oy * read(args, STRIDE_Y) - read(args, PADDING_Y) + ky
                    if y < 0 or y >= height:
                        continue
                    for ox in range(out_width):
                        x = ox * read(args, STRIDE_X) - read(args, PADDING_X) + kx
                        if x < 0 or x >= width:
                            continue
                        pixel = y * width + x
                        first, last = starts[pixel], starts[pixel + 1]
                        if first == last:
                            continue
                        at = (oy * out_width + ox) * channels + c
                        a = load(OUT_LANES, grad, at)
                        b = load(OUT_LANES, grad, at + 16) if number > 1 else a
                        d = load(OUT_LANES, grad, at + 32) if number > 2 else a
                        e = load(OUT_LANES, grad, at + 48) if number > 3 else a
                        for i in range(first, last):
                            to = begin + rows[i]
                            value = splat(OUT_LANES, values[i])
                            store(sums, to, multiply_add(value, a, load(OUT_LANES, sums, to)))
                            if number > 1:
                                to += 16
                                store(sums, to, multiply_add(value, b, load(OUT_LANES, sums, to)))
                            if number > 2:
                                to += 16
                                store(sums, to, multiply_add(value, d, load(OUT_LANES, sums, to)))
                            if number > 3:
                                to += 16
                                store(sums, to, multiply_add(value, e, load(OUT_LANES, sums, to)))

    return gather, scatter


gather_one, scatter_one = _make(1)
gather_two, scatter_two = _make(2)
gather_three, scatter_three = _make(3)
gather_four, scatter_four = _make(4)


@compiled
def clear(address, number):
    for i in range(0, number, OUT_LANES):
        store(address, i, splat(OUT_LANES, np.float32(0)))


@compiled
def blocks_of(args, backward):
    """Take blocks of images until none is left."""
    channels, out_channels = read(args, IN), read(args, OUT_CHANNELS)
    pixels = read(args, HEIGHT) * read(args, WIDTH)
    taps = read(args, KERNEL_HEIGHT) * read(args, KERNEL_WIDTH)
    row = taps * out_channels
    scratch = read(args, SCRATCH)
    scratch += read(args, SCRATCH_BYTES) * fetch_and_add(args + 8 * TAKEN, 1)
    starts = carray(pointer(scratch), (pixels + 1,), np.int64)
    rows = carray(pointer(scratch + 8 * (pixels + 1)), (pixels * channels + 1,), np.int64)
    begin = scratch + 8 * (pixels + 1 + pixels * channels + 1)
    values = carray(pointer(begin), (pixels * channels + 1,), np.float32)
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            return
        begin = block * read(args, IMAGES_A_BLOCK)
        sums = read(args, SUMS) + 4 * block * channels * row
        if backward:
            clear(sums, channels * row)
        for image in range(begin, min(read(args, IMAGES), begin + read(args, IMAGES_A_BLOCK))):
            if read(args, MARKS) != 0:
                marks = read(args, MARKS) + image * pixels * channels
                compress_marks(marks, pixels, channels, row, starts, rows, values)
            else:
                x = read(args, X) + 4 * image * pixels * channels
                others = compress(x, pixels, channels, row, starts, rows, values)
                if others > 0:
                    fetch_and_add(args + 8 * OTHERS, others)
            for c in range(0, out_channels, 4 * OUT_LANES):
                left = (out_channels - c) // OUT_LANES
                if backward:
                    if left == 1:
                        scatter_one(args, image, c, sums, starts, rows, values)
                    elif left == 2:
                        scatter_two(args, image, c, sums, starts, rows, values)
                    elif left == 3:
                        scatter_three(args, image, c, sums, starts, rows, values)
                    else:
                        scatter_four(args, image, c, sums, starts, rows, values)
                elif left == 1:
                    gather_one(args, image, c, starts, rows, values)
                elif left == 2:
                    gather_two(args, image, c, starts, rows, values)
                elif left == 3:
                    gather_three(args, image, c, starts, rows, values)
                else:
                    gather_four(args, image, c, starts, rows, values)
