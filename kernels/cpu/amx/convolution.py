"""Convolution by tiles of bfloat16 that is as exact as in float32, compiled by numba.

A float32 is the sum of three bfloat16 a₀ + a₁ + a₂, and spikes are one: with products of bfloat16
that are added up in float32,

    x w = x₀ (w₀ + w₁ + w₂)                                     x spikes
    g w = g₀ w₀ + g₀ w₁ + g₁ w₀ + g₀ w₂ + g₁ w₁ + g₂ w₀         to 2⁻²⁴, like float32 itself

Images are brought to rows of places, [place, channel], with zeros between lines and images: a line
of W places has p zeros behind it, which stand before the next line as well, and an image p lines.
There, what one tap of the kernel sees of consecutive places is consecutive too, and a tile of the
input is 16 places by 32 values from wherever the tap begins. Taps beside each other see places
beside each other: a line of the kernel is one run of (kernel width × channels) values.

With stride s the places are those of the output, and every pixel of the input has a phase:

    s y + k - p = s (y + d) + f         f = (k - p) mod s, of lines and of columns

Tap k sees place y + d of phase f, and of a line of the kernel each s-th tap is in one run. In the
other direction it is the gradient of the input that has phases, each with runs of its own.

Paddings keep the size of the images but for the stride: 2 padding = kernel - 1, and sizes are
multiples of the stride. Channels are multiples of 16.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import numpy as np

from ..simd import add_lanes, compiled, fetch_and_add, load, read, splat, store
from .instructions import (
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
from .layout import DEPTH

TILE = 1024  # bytes
NEAR = 2176  # bytes, for two tiles of results beside each other, or the addresses of 16 rows

# What a task finds at its address.
(
    NEXT,  # the next block, shared by the threads
    BLOCKS,
    IMAGES,
    IMAGES_A_BLOCK,
    BUNCH,  # images that are brought to rows of places together
    LINE,  # places from one line to the next
    PLACES,  # from one image to the next
    LEAD,  # zeros in front of the first image
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
    # Size and stride of x, and in the same order those of the output. One of them has no stride.
    HEIGHT,
    WIDTH,
    DOWN,
    ACROSS,
    OUT_HEIGHT,
    OUT_WIDTH,
    OUT_DOWN,
    OUT_ACROSS,
    PHASE_BYTES,  # of x, as rows or columns of places
    COLUMN,  # places of one
    RUNS,  # table: where each is seen, in bytes, and how many tiles it takes; or `Run`s
    NUMBER,  # of runs
    STEPS,  # tiles that all runs take
    PHASES,  # table of `Phase`s of the output
    PIXELS,  # table: which of a bunch of x, with gradients of the weights, stands at each place
    OUT_PIXELS,  # table: which of the output
    STEADY,  # table: whether 16 of the output follow each other
    TAPS,  # how many, and a table of where each is seen, in bytes
    TAPS_SEEN,
    X_PARTS,
    PARTS,  # of weights, or of gradients
    # Values between two weights that differ by one in one of these.
    OUT_STRIDE,
    IN_STRIDE,
    Y_STRIDE,
    X_STRIDE,
    SCRATCH,  # memory for each thread
    SCRATCH_BYTES,
    TAKEN,  # by how many threads
    ARGUMENTS,
) = range(48)


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
def bring(args, first, images, rows):
    """Bring images to rows of places, each part of the values apart, and of it each phase."""
    height, down, across = read(args, HEIGHT), read(args, DOWN), read(args, ACROSS)
    channels, parts = read(args, IN), read(args, X_PARTS)
    line = read(args, WIDTH) * channels
    values = line if across == 1 else channels  # that stay beside each other
    part_bytes = down * across * read(args, PHASE_BYTES)
    marks = read(args, MARKS)
    one = splat(16, np.float32(1))
    rest, unmarked = splat(16, np.float32(0)), splat(16, np.float32(0))
    for image in range(images):
        for y in range(height):
            place = read(args, LEAD) + image * read(args, PLACES) + y // down * read(args, LINE)
            begin = ((first + image) * height + y) * line
            for x in range(across):
                phase = y % down * across + x
                to = rows + phase * read(args, PHASE_BYTES) + 2 * channels * place
                for source in range(begin + x * channels, begin + line, across * values):
                    for i in range(source, source + values, 16):
                        value = load(16, read(args, X), i)
                        upper = rounded(value)
                        store_halves(to, upper)
                        if marks != 0:
                            store_marks(marks + i, value)
                            unmarked = unmarked + abs(value * (value - one))
                        value = value - upper
                        if parts == 1:
                            rest = rest + abs(value)
                        if parts > 1:
                            upper = rounded(value)
                            store_halves(to + part_bytes, upper)
                        if parts > 2:
                            store_halves(to + 2 * part_bytes, rounded(value - upper))
                        to += 2 * 16
    if add_lanes(rest) != 0:  # so it is with a NaN
        fetch_and_add(args + 8 * LONG, 1)
    if add_lanes(unmarked) != 0:
        fetch_and_add(args + 8 * UNMARKED, 1)


def _make_product(number):
    """Return the convolution of a bunch for 16 `number` output channels, 1 or 2, of a phase."""

    @compiled
    def product(args, rows, near, first, images, phase, c):
        outputs, stride = read(args, OUT_CHANNELS), 2 * read(args, IN)
        x_parts, parts = read(args, X_PARTS), read(args, PARTS)
        part_bytes = read(args, DOWN) * read(args, ACROSS) * read(args, PHASE_BYTES)
        runs, own = read(args, RUNS), read(args, PHASES) + 8 * 4 * phase
        begin_run, end_run, before, first_pixel = (
            read(own, 0),
            read(own, 1),
            read(own, 2),
            read(own, 3),
        )
        further = TILE * read(args, STEPS) * parts  # to the next 16 output channels
        weight = read(args, WEIGHT) + c // 16 * further + TILE * before * parts
        bias = read(args, BIAS)
        first_pixel += first * read(args, OUT_HEIGHT) * read(args, OUT_WIDTH)
        out = read(args, OUT) + 4 * first_pixel * outputs
        out_step = 4 * outputs * read(args, OUT_ACROSS)
        pixels, steady = read(args, OUT_PIXELS), read(args, STEADY)
        end = images * read(args, PLACES)
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
            for run in range(begin_run, end_run):
                a = rows + stride * place + read(runs, 2 * run)
                for _ in range(read(runs, 2 * run + 1)):
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
                to = out + 4 * (read(pixels, begin) * outputs + c)
                whole = begin + 16 <= end and read(steady, begin // 16) != 0
                at, step = (to, out_step) if whole else (near, 128)
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
                        pixel = read(pixels, begin + row)
                        if pixel >= 0:
                            for i in range(number):
                                value = load(16, near, 32 * row + 16 * i)
                                store(out, pixel * outputs + c + 16 * i, value)

    return product


product_one = _make_product(1)
product_two = _make_product(2)


@compiled
def convolve_blocks(args):
    """Take blocks of images until none is left, and convolve them."""
    phases = read(args, OUT_DOWN) * read(args, OUT_ACROSS)
    near = scratch_of(args)
    rows = near + NEAR
    configure(near)
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            release()
            return
        first = block * read(args, BUNCH)
        images = min(read(args, BUNCH), read(args, IMAGES) - first)
        bring(args, first, images, rows)
        for c in range(0, read(args, OUT_CHANNELS), 32):
            for phase in range(phases):
                if read(args, OUT_CHANNELS) - c >= 32:
                    product_two(args, rows, near, first, images, phase, c)
                else:
                    product_one(args, rows, near, first, images, phase, c)


@compiled
def weight_blocks(args):
    """Make weights tiles: [16 output channels, run, 32 values, part]."""
    channels, parts = read(args, IN), read(args, PARTS)
    stride = read(args, OUT_STRIDE)
    zero = splat(16, np.float32(0))
    while True:
        block = fetch_and_add(args + 8 * NEXT, 1)
        if block >= read(args, BLOCKS):
            return
        to = read(args, TILES_OUT) + TILE * block * read(args, STEPS) * parts
        for number in range(read(args, NUMBER)):
            run = read(args, RUNS) + 8 * 8 * number
            values, x_step = read(run, 4) * channels, read(run, 7) * read(args, X_STRIDE)
            first = 16 * block * stride
            first += read(run, 5) * read(args, Y_STRIDE) + read(run, 6) * read(args, X_STRIDE)
            source = read(args, WEIGHT) + 4 * first
            for begin in range(0, values, DEPTH):
                for row in range(16):
                    even, odd = zero, zero
                    k = begin + 2 * row
                    if k < values:  # channels are even
                        tap, c = divmod(k, channels)
                        at = tap * x_step + c * read(args, IN_STRIDE)
                        even = gather(source + 4 * at, stride)
                        odd = gather(source + 4 * (at + read(args, IN_STRIDE)), stride)
                    for part in range(parts):
                        upper, other = rounded(even), rounded(odd)
                        store_pairs(to + TILE * part + 64 * row, upper, other)
                        even, odd = even - upper, odd - other
                to += TILE * parts


@compiled
def turn(args, first, images, columns, addresses, zeros):
    """Bring images to columns of places, [phase, channel, place]."""
    channels, lead, column = read(args, IN), read(args, LEAD), read(args, COLUMN)
    height, width, across = read(args, HEIGHT), read(args, WIDTH), read(args, ACROSS)
    size = 1 if read(args, MARKS) != 0 else 4
    pixels = read(args, PIXELS)
    end = images * read(args, PLACES)
    for phase in range(read(args, DOWN) * across):
        source = read(args, MARKS) if size == 1 else read(args, X)
        y, x = divmod(phase, across)
        source += size * ((first * height + y) * width + x) * channels
        for begin in range(0, column, 16):
            for i in range(16):
                place = begin + i - lead
                pixel = read(pixels, place) if 0 <= place < end else -1
                address = source + size * pixel * channels if pixel >= 0 else zeros
                write(addresses, i, address)
            for c in range(0, channels, 16):
                to = columns + phase * read(args, PHASE_BYTES) + 2 * (c * column + begin)
                if size == 1:
                    transpose_halves(1, addresses, c, to, 2 * column)
                else:
                    transpose_halves(4, addresses, 4 * c, to, 2 * column)


@compiled
def pair(args, first, images, pairs, steps):
    """Make gradients tiles: [16 output channels, 32 places, part]."""
    outputs, parts = read(args, OUT_CHANNELS), read(args, PARTS)
    source = read(args, OUT)
    source += 4 * first * read(args, OUT_HEIGHT) * read(args, OUT_WIDTH) * outputs
    pixels = read(args, OUT_PIXELS)
    end = images * read(args, PLACES)
    zero = splat(16, np.float32(0))
    for place in range(0, steps * DEPTH, 2):
        step, row = place // DEPTH, place % DEPTH // 2
        one = read(pixels, place) if place < end else -1
        two = read(pixels, place + 1) if place + 1 < end else -1
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
    def place_of(args, which, columns):
        part, tap = divmod(which, read(args, TAPS))
        return columns + 2 * 16 * part * read(args, COLUMN) + read(read(args, TAPS_SEEN), tap)

    @compiled
    def sum_of(args, which, sums, c):
        taps = read(args, TAPS)
        part, tap = divmod(which, taps)
        return sums + 4 * ((part * 16 * taps + tap) * read(args, OUT_CHANNELS) + c)

    @compiled
    def add_up(args, which, columns, pairs, steps, sums, c, begins):
        parts = read(args, PARTS)
        stride = 2 * read(args, COLUMN)
        step = 4 * read(args, OUT_CHANNELS) * read(args, TAPS)
        b = pairs + TILE * (c // 16) * steps * parts
        a0 = place_of(args, which, columns)
        if number > 1:
            a1 = place_of(args, which + 1, columns)
            a2 = place_of(args, which + 2, columns)
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
            load_tile(3, a0, stride)
            load_tile(6, b, 64)
            multiply_tiles(0, 3, 6)
            a0 += 2 * DEPTH
            if number > 1:
                load_tile(4, a1, stride)
                multiply_tiles(1, 4, 6)
                load_tile(5, a2, stride)
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
    taps = read(args, TAPS)
    addresses = scratch_of(args)
    zeros = addresses + NEAR
    columns = zeros + aligned(4 * channels)
    pairs = columns + read(args, DOWN) * read(args, ACROSS) * read(args, PHASE_BYTES)
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
            steps = (images * read(args, PLACES) + DEPTH - 1) // DEPTH
            turn(args, first, images, columns, addresses, zeros)
            pair(args, first, images, pairs, steps)
            number, begins = channels // 16 * taps, first == begin
            for c in range(0, outputs, 16):
                for which in range(0, number - 2, 3):
                    add_up_three(args, which, columns, pairs, steps, sums, c, begins)
                for which in range(number // 3 * 3, number):
                    add_up_one(args, which, columns, pairs, steps, sums, c, begins)
