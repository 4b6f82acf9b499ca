"""Convolution that costs as much as its input has active values, compiled by numba.

Each image is first compressed to lists, for each pixel, of its active channels and their values.
An output pixel adds up the weights of the active values in its window; a weight gradient adds up
the gradients of the output pixels that an active value reaches. Output channels lie in vector
registers, so their number is a multiple of `OUT_LANES`.
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
    read_byte,
    splat,
    store,
    struct_at,
)

OUT_LANES = 16

# Layout of the kernel argument struct. Addresses are int64, images [N, height, width, channels],
# weights [in, kernel_h, kernel_w, out].
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("next_scratch", np.int64),  # another one
        ("not_binary_count", np.int64),  # of values that are neither 0 nor 1, see `compress`
        ("blocks", np.int64),
        ("block_images", np.int64),
        ("images", np.int64),
        ("x", np.int64),  # float32, or 0
        ("spikes", np.int64),  # uint8, or 0
        ("weight", np.int64),
        ("bias", np.int64),  # or 0
        ("out", np.int64),  # or its gradient
        ("sums", np.int64),  # gradients of the weights, for each block
        ("in_channels", np.int64),
        ("out_channels", np.int64),
        ("height", np.int64),
        ("width", np.int64),
        ("out_height", np.int64),
        ("out_width", np.int64),
        ("kernel_h", np.int64),
        ("kernel_w", np.int64),
        ("stride_y", np.int64),
        ("stride_x", np.int64),
        ("padding_y", np.int64),
        ("padding_x", np.int64),
        ("scratch", np.int64),  # memory of all threads
        ("scratch_bytes", np.int64),  # of one thread
    ]
)


@compiled
def compress(x, pixels, channels, weight_row, starts, offsets, values):
    """List the active values and their weights' offsets: channel times `weight_row`.

    Returns 0 if all values are 0 or 1, else how many of the vectors and single values are not.
    """
    count, not_binary = 0, 0
    vectors = channels // OUT_LANES * OUT_LANES
    for pixel in range(pixels):
        starts[pixel] = count
        at = pixel * channels
        for c in range(0, vectors, OUT_LANES):
            vector = load(OUT_LANES, x, at + c)
            bits = bits_other_than(vector, np.float32(0))
            not_binary += (bits & bits_other_than(vector, np.float32(1))) != 0
            while bits != 0:
                lane = lowest_bit(bits)
                bits &= bits - 1
                offsets[count] = (c + lane) * weight_row
                values[count] = add_lanes(load(1, x, at + c + lane))
                count += 1
        for c in range(vectors, channels):
            value = add_lanes(load(1, x, at + c))
            offsets[count] = c * weight_row
            values[count] = value
            count += value != 0
            not_binary += (value != 0) & (value != 1)
    starts[pixels] = count
    return not_binary


@compiled
def compress_spikes(spikes, pixels, channels, weight_row, starts, offsets, values):
    """List the active values of uint8 spikes, 0 or 1."""
    count = 0
    vectors = channels // OUT_LANES * OUT_LANES
    for pixel in range(pixels):
        starts[pixel] = count
        at = pixel * channels
        for c in range(0, vectors, OUT_LANES):
            bits = bits_of_bytes(OUT_LANES, spikes, at + c)
            while bits != 0:
                offsets[count] = (c + lowest_bit(bits)) * weight_row
                values[count] = 1
                count += 1
                bits &= bits - 1
        for c in range(vectors, channels):
            offsets[count] = c * weight_row
            values[count] = 1
            count += read_byte(spikes, at + c)
    starts[pixels] = count


def _make(vectors):
    """Return the loops over `vectors` vectors of output channels, 1 to 4."""

    @compiled
    def gather(args, image, c, starts, offsets, values):
        """out[y, x] = Σ value weight, over the active values in the window."""
        weight, channels = args.weight, args.out_channels
        height, width = args.height, args.width
        kernel_h, kernel_w = args.kernel_h, args.kernel_w
        out_height, out_width = args.out_height, args.out_width
        out = args.out + 4 * image * out_height * out_width * channels
        zero = splat(OUT_LANES, np.float32(0))
        bias = args.bias
        first = load(OUT_LANES, bias, c) if bias != 0 else zero
        second = load(OUT_LANES, bias, c + 16) if bias != 0 and vectors > 1 else zero
        third = load(OUT_LANES, bias, c + 32) if bias != 0 and vectors > 2 else zero
        fourth = load(OUT_LANES, bias, c + 48) if bias != 0 and vectors > 3 else zero
        for oy in range(out_height):
            top = oy * args.stride_y - args.padding_y
            row = oy * out_width * channels + c
            for ox in range(out_width):
                put(out, row + ox * channels, first, second, third, fourth)
            # One row of the kernel at a time, so that its weights stay in the first cache.
            for ky in range(max(0, -top), min(kernel_h, height - top)):
                above = (top + ky) * width
                for ox in range(out_width):
                    left = ox * args.stride_x - args.padding_x
                    at = row + ox * channels
                    a = load(OUT_LANES, out, at)
                    b = load(OUT_LANES, out, at + 16) if vectors > 1 else zero
                    d = load(OUT_LANES, out, at + 32) if vectors > 2 else zero
                    e = load(OUT_LANES, out, at + 48) if vectors > 3 else zero
                    for kx in range(max(0, -left), min(kernel_w, width - left)):
                        begin = (ky * kernel_w + kx) * channels + c
                        pixel = above + left + kx
                        for i in range(starts[pixel], starts[pixel + 1]):
                            w = begin + offsets[i]
                            value = splat(OUT_LANES, values[i])
                            a = multiply_add(value, load(OUT_LANES, weight, w), a)
                            if vectors > 1:
                                b = multiply_add(value, load(OUT_LANES, weight, w + 16), b)
                            if vectors > 2:
                                d = multiply_add(value, load(OUT_LANES, weight, w + 32), d)
                            if vectors > 3:
                                e = multiply_add(value, load(OUT_LANES, weight, w + 48), e)
                    put(out, at, a, b, d, e)

    @compiled
    def put(out, at, a, b, d, e):
        store(out, at, a)
        if vectors > 1:
            store(out, at + 16, b)
        if vectors > 2:
            store(out, at + 32, d)
        if vectors > 3:
            store(out, at + 48, e)

    @compiled
    def scatter(args, image, c, sums, starts, offsets, values):
        """sums[in, ky, kx] += value grad, of the output pixels that an active value reaches."""
        channels = args.out_channels
        height, width = args.height, args.width
        kernel_w = args.kernel_w
        out_height, out_width = args.out_height, args.out_width
        grad = args.out + 4 * image * out_height * out_width * channels
        for ky in range(args.kernel_h):
            for kx in range(kernel_w):  # one tap at a time: its sums stay in the cache
                begin = (ky * kernel_w + kx) * channels + c
                for oy in range(out_height):
                    y = oy * args.stride_y - args.padding_y + ky
                    if y < 0 or y >= height:
                        continue
                    for ox in range(out_width):
                        x = ox * args.stride_x - args.padding_x + kx
                        if x < 0 or x >= width:
                            continue
                        pixel = y * width + x
                        first, last = starts[pixel], starts[pixel + 1]
                        if first == last:
                            continue
                        at = (oy * out_width + ox) * channels + c
                        a = load(OUT_LANES, grad, at)
                        b = load(OUT_LANES, grad, at + 16) if vectors > 1 else a
                        d = load(OUT_LANES, grad, at + 32) if vectors > 2 else a
                        e = load(OUT_LANES, grad, at + 48) if vectors > 3 else a
                        for i in range(first, last):
                            to = begin + offsets[i]
                            value = splat(OUT_LANES, values[i])
                            store(sums, to, multiply_add(value, a, load(OUT_LANES, sums, to)))
                            if vectors > 1:
                                to += 16
                                store(sums, to, multiply_add(value, b, load(OUT_LANES, sums, to)))
                            if vectors > 2:
                                to += 16
                                store(sums, to, multiply_add(value, d, load(OUT_LANES, sums, to)))
                            if vectors > 3:
                                to += 16
                                store(sums, to, multiply_add(value, e, load(OUT_LANES, sums, to)))

    return gather, scatter


gather_one, scatter_one = _make(1)
gather_two, scatter_two = _make(2)
gather_three, scatter_three = _make(3)
gather_four, scatter_four = _make(4)


@compiled
def clear(address, count):
    for i in range(0, count, OUT_LANES):
        store(address, i, splat(OUT_LANES, np.float32(0)))


@compiled
def run_blocks(address, backward):
    """Compute block after block of images until none is left.

    The result is the output, or with `backward` the gradient of the weights.
    """
    args = struct_at(address, ARGUMENTS, 0)
    channels, out_channels = args.in_channels, args.out_channels
    pixels = args.height * args.width
    taps = args.kernel_h * args.kernel_w
    weight_row = taps * out_channels
    scratch = args.scratch + args.scratch_bytes * fetch_and_add(args, "next_scratch", 1)
    starts = carray(pointer(scratch), (pixels + 1,), np.int64)
    offsets = carray(pointer(scratch + 8 * (pixels + 1)), (pixels * channels + 1,), np.int64)
    begin = scratch + 8 * (pixels + 1 + pixels * channels + 1)
    values = carray(pointer(begin), (pixels * channels + 1,), np.float32)
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        begin = block * args.block_images
        sums = args.sums + 4 * block * channels * weight_row
        if backward:
            clear(sums, channels * weight_row)
        for image in range(begin, min(args.images, begin + args.block_images)):
            if args.spikes != 0:
                spikes = args.spikes + image * pixels * channels
                compress_spikes(spikes, pixels, channels, weight_row, starts, offsets, values)
            else:
                x = args.x + 4 * image * pixels * channels
                not_binary = compress(x, pixels, channels, weight_row, starts, offsets, values)
                if not_binary > 0:
                    fetch_and_add(args, "not_binary_count", not_binary)
            for c in range(0, out_channels, 4 * OUT_LANES):
                vectors = (out_channels - c) // OUT_LANES
                if backward:
                    if vectors == 1:
                        scatter_one(args, image, c, sums, starts, offsets, values)
                    elif vectors == 2:
                        scatter_two(args, image, c, sums, starts, offsets, values)
                    elif vectors == 3:
                        scatter_three(args, image, c, sums, starts, offsets, values)
                    else:
                        scatter_four(args, image, c, sums, starts, offsets, values)
                elif vectors == 1:
                    gather_one(args, image, c, starts, offsets, values)
                elif vectors == 2:
                    gather_two(args, image, c, starts, offsets, values)
                elif vectors == 3:
                    gather_three(args, image, c, starts, offsets, values)
                else:
                    gather_four(args, image, c, starts, offsets, values)
