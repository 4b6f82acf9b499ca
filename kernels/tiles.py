"""Convolution by tiles of bfloat16 that is as exact as in float32, compiled by numba.

A float32 is the sum of three bfloat16 a₀ + a₁ + a₂, and spikes are one: with products of bfloat16
that are added up in float32,

    x w = x₀ (w₀ + w₁ + w₂)                                     x spikes
    g w = g₀ w₀ + g₀ w₁ + g₁ w₀ + g₀ w₂ + g₁ w₁ + g₂ w₀         to 2⁻²⁴, like float32 itself

Images are brought to rows of places, [place, channel], with zeros between lines and images: a line
of W places has p zeros behind it, which stand before the next line as well, and an image p lines.
There, what one tap of the kernel sees of consecutive places is consecutive too, and a tile of the
input is 16 places by 32 values from wherever the tap begins. A line of the kernel is one row of
(kernel width × channels) values.

The convolutions have stride 1 and keep the size of the images: 2 padding = kernel - 1. Channels
are multiples of 16.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import numpy as np
from numba import carray

from .amx import (
    clear_tile,
    configure,
    gather,
    load_tile,
    multiply_tiles,
    release,
    rounded,
    store_halves,
    store_marks,
    store_pairs,
    store_tile,
    transpose_halves,
    write,
)
from .simd import add_lanes, compiled, fetch_and_add, load, pointer, read, splat, store

DEPTH = 32  # values that a product of tiles adds up
TILE = 1024  # bytes
SLACK = 64  # places that a last tile may read
NEAR = 2176  # bytes, for two tiles of results beside each other, or the addresses of 16 rows

# What a task finds at its address.
(
    NEXT,  # the next block, shared by the threads
    BLOCKS,
    IMAGES,
    IMAGES_A_BLOCK,
    BUNCH,  # images that are brought to rows of places together
    X,
    MARKS,  # or one byte for each value, 0 or 1: to read, or to write besides; or 0
    LONG,  # how many blocks met a value of x that is no bfloat16
    UNMARKED,  # how many met one that is neither 0 nor 1, if marks are written
    WEIGHT,  # tiles; or to be made such
    TILES_OUT,  # where weights are made tiles
    BIAS,  # or 0
    OUT,  # or its gradient
    SUMS,  # gradients of the weights [in, kernel height, kernel width, out], for each block
    IN,
    OUT_CHANNELS,
    HEIGHT,
    WIDTH,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    X_PARTS,
    PARTS,  # of weights, or of gradients
    # Values between two weights that differ by one in one of these, and the first one's place.
    OUT_STRIDE,
    IN_STRIDE,
    Y_STRIDE,
    X_STRIDE,
    FIRST,
    SCRATCH,  # memory for each thread
    SCRATCH_BYTES,
    TAKEN,  # by how many threads
    ARGUMENTS,
) = range(31)


@compiled
def aligned(address):
    return (address + 63) // 64 * 64


@compiled
def scratch_of(args):
    """Return the memory of this thread, all zeros."""
    number = read(args, SCRATCH_BYTES)
    begin = read(args, SCRATCH) + number * fetch_and_add(args + 8 * TAKEN, 1)
    for i in range(0, number // 4, 16):
        store(begin, i, splat(16, np.float32(0)))
    return begin


@compiled
def line_of(args):
    """Places from one line to the next."""
    return read(args, WIDTH) + read(args, KERNEL_WIDTH) // 2


@compiled
def places_of(args):
    """Places from one image to the next."""
    return (read(args, HEIGHT) + read(args, KERNEL_HEIGHT) // 2) * line_of(args)


@compiled
def lead_of(args):
    """Zeros in front of the first image."""
    return read(args, KERNEL_HEIGHT) // 2 * line_of(args) + read(args, KERNEL_WIDTH) // 2


@compiled
def row_steps(args):
    """Products of tiles that a line of the kernel takes."""
    return (read(args, KERNEL_WIDTH) * read(args, IN) + DEPTH - 1) // DEPTH


@compiled
def number_places(args, pixels):
    """Fill in which pixel of the bunch stands at each place, -1 between lines and images."""
    line, height, width = line_of(args), read(args, HEIGHT), read(args, WIDTH)
    pixels[:] = -1
    for image in range(read(args, BUNCH)):
        for y in range(height):
            begin = image * places_of(args) + y * line
            for x in range(width):
                pixels[begin + x] = (image * height + y) * width + x


@compiled
def bring(args, first, images, rows, part_bytes):
    """Bring images to rows of places, each part of the values apart."""
    line, lead = line_of(args), lead_of(args)
    marks = read(args, MARKS)
    one = splat(16, np.float32(1))
    height = read(args, HEIGHT)
    values = read(args, WIDTH) * read(args, IN)
    parts = read(args, X_PARTS)
    rest, unmarked = splat(16, np.float32(0)), splat(16, np.float32(0))
    for image in range(images):
        for y in range(height):
            place = lead + image * places_of(args) + y * line
            to = rows + 2 * place * read(args, IN)
            begin = ((first + image) * height + y) * values
            source = read(args, X) + 4 * begin
            for i in range(0, values, 16):
                value = load(16, source, i)
                upper = rounded(value)
                store_halves(to + 2 * i, upper)
                if marks != 0:
                    store_marks(marks + begin + i, value)
                    unmarked = unmarked + abs(value * (value - one))
                value = value - upper
                if parts == 1:
                    rest = rest + abs(value)
                if parts > 1:
                    upper = rounded(value)
                    store_halves(to + part_bytes + 2 * i, upper)
                if parts > 2:
                    store_halves(to + 2 * part_bytes + 2 * i, rounded(value - upper))
    if add_lanes(rest) != 0:  # so it is with a NaN
        fetch_and_add(args + 8 * LONG, 1)
    if add_lanes(unmarked) != 0:
        fetch_and_add(args + 8 * UNMARKED, 1)


def _make_product(number):
    """Return the convolution of a bunch for 16 `number` output channels, 1 or 2."""

    @compiled
    def product(args, rows, part_bytes, pixels, near, first, images, c):
        channels, outputs = read(args, IN), read(args, OUT_CHANNELS)
        line, steps = line_of(args), row_steps(args)
        all_steps = steps * read(args, KERNEL_HEIGHT)
        x_parts, parts = read(args, X_PARTS), read(args, PARTS)
        weight = read(args, WEIGHT) + TILE * (c // 16) * all_steps * parts
        further = TILE * all_steps * parts  # to the next 16 output channels
        bias = read(args, BIAS)
        out = read(args, OUT) + 4 * first * read(args, HEIGHT) * read(args, WIDTH) * outputs
        end = images * places_of(args)
        stride = 2 * channels
        for place in range(0, end, 32):
            if bias != 0:  # the same row again and again
                load_tile(0, bias + 4 * c, 0)
                load_tile(2, bias + 4 * c, 0)
                if number > 1:
                    load_tile(1, bias + 4 * c + 64, 0)
                    load_tile(3, bias + 4 * c + 64, 0)
            else:
                clear_tile(0)
                clear_tile(2)
                if number > 1:
                    clear_tile(1)
                    clear_tile(3)
            b = weight
            for y in range(read(args, KERNEL_HEIGHT)):
                a = rows + stride * (place + y * line)
                for _ in range(steps):
                    for part in range(x_parts):
                        load_tile(4, a + part * part_bytes, stride)
                        load_tile(5, a + part * part_bytes + 16 * stride, stride)
                        for other in range(parts - part):
                            load_tile(6, b + TILE * other, 64)
                            if number > 1:
                                load_tile(7, b + further + TILE * other, 64)
                            multiply_tiles(0, 4, 6)
                            multiply_tiles(2, 5, 6)
                            if number > 1:
                                multiply_tiles(1, 4, 7)
                                multiply_tiles(3, 5, 7)
                    a += 2 * DEPTH
                    b += TILE * parts
            for half in range(2):
                begin = place + 16 * half
                pixel = pixels[begin]
                to = out + 4 * (pixel * outputs + c)
                whole = begin + 16 <= end and pixel >= 0 and pixels[begin + 15] == pixel + 15
                at, step = (to, 4 * outputs) if whole else (near, 128)
                if half == 0:
                    store_tile(0, at, step)
                    if number > 1:
                        store_tile(1, at + 64, step)
                else:
                    store_tile(2, at, step)
                    if number > 1:
                        store_tile(3, at + 64, step)
                if not whole:
                    for row in range(min(16, end - begin)):
                        pixel = pixels[begin + row]
                        if pixel >= 0:
                            for i in range(number):
                                value = load(16, near, 32 * row + 16 * i)
                                store(out, pixel * outputs + c + 16 * i, value)

    return product


product_one = _make_product(1)
product_two = _make_product(2)


@compiled
def part_bytes_of(args):
    """Bytes of one part of a bunch, as rows of places."""
    places = read(args, BUNCH) * places_of(args) + 2 * lead_of(args) + SLACK
    return aligned(2 * read(args, IN) * places)


@compiled
def convolve_blocks(args):
    """Take blocks of images until none is left, and convolve them."""
    places = read(args, BUNCH) * places_of(args)
    part_bytes = part_bytes_of(args)
    near = scratch_of(args)
    rows = near + NEAR
    pixels = carray(pointer(rows + part_bytes * read(args, X_PARTS)), (places + SLACK,), np.int64)
    number_places(args, pixels)
    configure(near)
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            release()
            return
        first = block * read(args, BUNCH)
        images = min(read(args, BUNCH), read(args, IMAGES) - first)
        bring(args, first, images, rows, part_bytes)
        for c in range(0, read(args, OUT_CHANNELS), 32):
            if read(args, OUT_CHANNELS) - c >= 32:
                product_two(args, rows, part_bytes, pixels, near, first, images, c)
            else:
                product_one(args, rows, part_bytes, pixels, near, first, images, c)


@compiled
def weight_blocks(args):
    """Make weights tiles: [16 output channels, line of the kernel, 32 values, part]."""
    channels, parts = read(args, IN), read(args, PARTS)
    steps = row_steps(args)
    values = read(args, KERNEL_WIDTH) * channels
    stride = read(args, OUT_STRIDE)
    zero = splat(16, np.float32(0))
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            return
        source = read(args, WEIGHT) + 4 * (read(args, FIRST) + 16 * block * stride)
        to = read(args, TILES_OUT) + TILE * block * steps * read(args, KERNEL_HEIGHT) * parts
        for y in range(read(args, KERNEL_HEIGHT)):
            for step in range(steps):
                for row in range(16):
                    even, odd = zero, zero
                    k = step * DEPTH + 2 * row
                    if k < values:  # channels are even
                        x, c = divmod(k, channels)
                        at = y * read(args, Y_STRIDE) + x * read(args, X_STRIDE)
                        at += c * read(args, IN_STRIDE)
                        even = gather(source + 4 * at, stride)
                        odd = gather(source + 4 * (at + read(args, IN_STRIDE)), stride)
                    for part in range(parts):
                        upper, other = rounded(even), rounded(odd)
                        store_pairs(to + TILE * part + 64 * row, upper, other)
                        even, odd = even - upper, odd - other
                to += TILE * parts


@compiled
def columns_of(args):
    """Places of a column of a bunch: an odd number of cache lines, so that columns do not all want
    the same place in the cache."""
    places = read(args, BUNCH) * places_of(args) + 2 * lead_of(args) + SLACK
    return places // 64 * 64 + 96


@compiled
def turn(args, first, images, pixels, columns, stride, addresses, zeros):
    """Bring images to columns of places, [channel, place]."""
    channels, lead = read(args, IN), lead_of(args)
    size = 1 if read(args, MARKS) != 0 else 4
    source = read(args, MARKS) if size == 1 else read(args, X)
    source += size * first * read(args, HEIGHT) * read(args, WIDTH) * channels
    end = images * places_of(args)
    for begin in range(0, stride, 16):
        for i in range(16):
            place = begin + i - lead
            pixel = pixels[place] if 0 <= place < end else -1
            address = source + size * pixel * channels if pixel >= 0 else zeros
            write(addresses, i, address)
        for c in range(0, channels, 16):
            to = columns + 2 * (c * stride + begin)
            if size == 1:
                transpose_halves(1, addresses, c, to, 2 * stride)
            else:
                transpose_halves(4, addresses, 4 * c, to, 2 * stride)


@compiled
def pair(args, first, images, pixels, pairs, steps):
    """Make gradients tiles: [16 output channels, 32 places, part]."""
    outputs, parts = read(args, OUT_CHANNELS), read(args, PARTS)
    source = read(args, OUT) + 4 * first * read(args, HEIGHT) * read(args, WIDTH) * outputs
    end = images * places_of(args)
    zero = splat(16, np.float32(0))
    for place in range(0, steps * DEPTH, 2):
        step, row = place // DEPTH, place % DEPTH // 2
        one = pixels[place] if place < end else -1
        two = pixels[place + 1] if place + 1 < end else -1
        for c in range(0, outputs, 16):
            even = load(16, source, one * outputs + c) if one >= 0 else zero
            odd = load(16, source, two * outputs + c) if two >= 0 else zero
            to = pairs + TILE * (c // 16 * steps + step) * parts + 64 * row
            for part in range(parts):
                upper, other = rounded(even), rounded(odd)
                store_pairs(to + TILE * part, upper, other)
                even, odd = even - upper, odd - other


def _make_sum(number):
    """Return the sums over a bunch for `number` pairs of tap and 16 channels, 1 or 3."""

    @compiled
    def place_of(args, which, columns, stride):
        taps = read(args, KERNEL_HEIGHT) * read(args, KERNEL_WIDTH)
        part, tap = divmod(which, taps)
        y, x = divmod(tap, read(args, KERNEL_WIDTH))
        return columns + 2 * (part * 16 * stride + y * line_of(args) + x)

    @compiled
    def sum_of(args, which, sums, c):
        taps = read(args, KERNEL_HEIGHT) * read(args, KERNEL_WIDTH)
        part, tap = divmod(which, taps)
        return sums + 4 * ((part * 16 * taps + tap) * read(args, OUT_CHANNELS) + c)

    @compiled
    def add_up(args, which, columns, stride, pairs, steps, sums, c, begins):
        parts = read(args, PARTS)
        outputs = read(args, OUT_CHANNELS)
        step = 4 * outputs * read(args, KERNEL_HEIGHT) * read(args, KERNEL_WIDTH)
        b = pairs + TILE * (c // 16) * steps * parts
        a0 = place_of(args, which, columns, stride)
        if number > 1:
            a1 = place_of(args, which + 1, columns, stride)
            a2 = place_of(args, which + 2, columns, stride)
        if begins:
            clear_tile(0)
            clear_tile(1)
            clear_tile(2)
        else:
            load_tile(0, sum_of(args, which, sums, c), step)
            if number > 1:
                load_tile(1, sum_of(args, which + 1, sums, c), step)
                load_tile(2, sum_of(args, which + 2, sums, c), step)
        for _ in range(steps):
            load_tile(3, a0, 2 * stride)
            load_tile(6, b, 64)
            multiply_tiles(0, 3, 6)
            a0 += 2 * DEPTH
            if number > 1:
                load_tile(4, a1, 2 * stride)
                multiply_tiles(1, 4, 6)
                load_tile(5, a2, 2 * stride)
                multiply_tiles(2, 5, 6)
                a1 += 2 * DEPTH
                a2 += 2 * DEPTH
            if parts > 1:
                load_tile(7, b + TILE, 64)
                multiply_tiles(0, 3, 7)
                if number > 1:
                    multiply_tiles(1, 4, 7)
                    multiply_tiles(2, 5, 7)
            if parts > 2:
                load_tile(6, b + 2 * TILE, 64)
                multiply_tiles(0, 3, 6)
                if number > 1:
                    multiply_tiles(1, 4, 6)
                    multiply_tiles(2, 5, 6)
            b += TILE * parts
        store_tile(0, sum_of(args, which, sums, c), step)
        if number > 1:
            store_tile(1, sum_of(args, which + 1, sums, c), step)
            store_tile(2, sum_of(args, which + 2, sums, c), step)

    return add_up


add_up_one = _make_sum(1)
add_up_three = _make_sum(3)


@compiled
def gradient_blocks(args):
    """Take blocks of images until none is left, and add up the gradients of the weights."""
    channels, outputs, bunch = read(args, IN), read(args, OUT_CHANNELS), read(args, BUNCH)
    taps = read(args, KERNEL_HEIGHT) * read(args, KERNEL_WIDTH)
    places = bunch * places_of(args)
    stride = columns_of(args)
    addresses = scratch_of(args)
    zeros = addresses + NEAR
    columns = zeros + aligned(4 * channels)
    pairs = columns + 2 * channels * stride
    of_pairs = TILE * (outputs // 16) * ((places + DEPTH - 1) // DEPTH) * read(args, PARTS)
    pixels = carray(pointer(pairs + of_pairs), (places + SLACK,), np.int64)
    number_places(args, pixels)
    configure(addresses)
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            release()
            return
        sums = read(args, SUMS) + 4 * block * channels * taps * outputs
        begin = block * read(args, IMAGES_A_BLOCK)
        end = min(read(args, IMAGES), begin + read(args, IMAGES_A_BLOCK))
        for first in range(begin, end, bunch):
            images = min(bunch, end - first)
            steps = (images * places_of(args) + DEPTH - 1) // DEPTH
            turn(args, first, images, pixels, columns, stride, addresses, zeros)
            pair(args, first, images, pixels, pairs, steps)
            number, begins = channels // 16 * taps, first == begin
            for c in range(0, outputs, 16):
                for which in range(0, number - 2, 3):
                    add_up_three(args, which, columns, stride, pairs, steps, sums, c, begins)
                for which in range(number // 3 * 3, number):
                    add_up_one(args, which, columns, stride, pairs, steps, sums, c, begins)
