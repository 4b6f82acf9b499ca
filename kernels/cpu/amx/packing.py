"""Packing of images, weights and gradients for tiles of bfloat16, compiled by numba.

A float32 is the sum of three bfloat16, its terms: each is packed apart.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import Any

import numpy as np

from ..simd import (
    add_lanes,
    compiled,
    fetch_and_add,
    load,
    read,
    splat,
    struct_at,
)
from .instructions import (
    rounded,
    store_halves,
    store_pairs,
    store_spikes,
    transpose_halves,
    write,
)
from .layout import DEPTH, PACKED_RUN

TILE = 1024  # bytes

# Layout of the kernel argument struct. Addresses are int64, images [N, height, width, channels].
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("next_scratch", np.int64),  # another one
        ("not_bf16_count", np.int64),  # of packed chunks of x with a value that is no bfloat16
        ("not_binary_count", np.int64),  # and with one that is neither 0 nor 1, if spikes are kept
        ("blocks", np.int64),
        ("images", np.int64),
        ("block_images", np.int64),
        ("chunk_images", np.int64),  # that are packed together
        # See `layout.Grid`.
        ("row_stride", np.int64),
        ("image_stride", np.int64),
        ("lead", np.int64),
        ("x", np.int64),  # float32, or 0
        ("spikes", np.int64),  # x as uint8, to read or to write as well, or 0
        ("weight", np.int64),  # packed, or to pack
        ("packed_weight", np.int64),  # result of packing
        ("bias", np.int64),  # or 0
        ("out", np.int64),  # or its gradient
        ("sums", np.int64),  # gradients of the weights [in, kernel_h, kernel_w, out] of each block
        ("in_channels", np.int64),
        ("out_channels", np.int64),
        # Of x and of the output; one of them has no stride.
        ("height", np.int64),
        ("width", np.int64),
        ("stride_y", np.int64),
        ("stride_x", np.int64),
        ("out_height", np.int64),
        ("out_width", np.int64),
        ("out_stride_y", np.int64),
        ("out_stride_x", np.int64),
        ("x_terms", np.int64),
        ("terms", np.int64),  # of weights, or of gradients
        ("phase_bytes", np.int64),  # of packed x
        ("channel_stride", np.int64),  # positions, where x is packed by channels
        ("runs", np.int64),  # `READ_RUN`s, or to pack weights `PACKED_RUN`s
        ("run_count", np.int64),
        ("k_tiles", np.int64),  # of all runs
        ("phases", np.int64),  # `PHASE`s of the output
        ("pixels", np.int64),  # of x at each position of a chunk, see `layout.pixels_of`
        ("out_pixels", np.int64),
        ("contiguous", np.int64),  # see `layout.contiguous_of`
        ("taps", np.int64),
        ("tap_offsets", np.int64),  # bytes of packed x at which each tap begins to read
        # Values between two weights that differ by one in this index.
        ("weight_out_stride", np.int64),
        ("weight_in_stride", np.int64),
        ("weight_y_stride", np.int64),
        ("weight_x_stride", np.int64),
        ("scratch", np.int64),  # memory of all threads
        ("scratch_bytes", np.int64),  # of one thread
    ]
)


@compiled
def pack(args, first, images, packed):
    """Pack a chunk of images as [term, phase, position, channel]."""
    height, stride_y, stride_x = args.height, args.stride_y, args.stride_x
    channels, terms = args.in_channels, args.x_terms
    row_values = args.width * channels
    values = row_values if stride_x == 1 else channels  # that stay beside each other
    term_bytes = stride_y * stride_x * args.phase_bytes
    spikes = args.spikes
    one = splat(16, np.float32(1))
    rest, not_binary = splat(16, np.float32(0)), splat(16, np.float32(0))
    for image in range(images):
        for y in range(height):
            position = args.lead + image * args.image_stride + y // stride_y * args.row_stride
            begin = ((first + image) * height + y) * row_values
            for x in range(stride_x):
                phase = y % stride_y * stride_x + x
                to = packed + phase * args.phase_bytes + 2 * channels * position
                for source in range(begin + x * channels, begin + row_values, stride_x * values):
                    for i in range(source, source + values, 16):
                        value = load(16, args.x, i)
                        upper = rounded(value)
                        store_halves(to, upper)
                        if spikes != 0:
                            store_spikes(spikes + i, value)
                            not_binary = not_binary + abs(value * (value - one))
                        value = value - upper
                        if terms == 1:
                            rest = rest + abs(value)
                        if terms > 1:
                            upper = rounded(value)
                            store_halves(to + term_bytes, upper)
                        if terms > 2:
                            store_halves(to + 2 * term_bytes, rounded(value - upper))
                        to += 2 * 16
    if add_lanes(rest) != 0:  # true for a NaN
        fetch_and_add(args, "not_bf16_count", 1)
    if add_lanes(not_binary) != 0:
        fetch_and_add(args, "not_binary_count", 1)


@compiled
def pack_by_channel(args, first, images, packed, addresses, zeros):
    """Pack a chunk of images as [phase, channel, position].

    Args:
        addresses: memory for the addresses of 16 pixels.
        zeros: a pixel of zeros.
    """
    channels, lead, channel_stride = args.in_channels, args.lead, args.channel_stride
    height, width, stride_x = args.height, args.width, args.stride_x
    size = 1 if args.spikes != 0 else 4
    pixels = args.pixels
    end = images * args.image_stride
    for phase in range(args.stride_y * stride_x):
        source = args.spikes if size == 1 else args.x
        y, x = divmod(phase, stride_x)
        source += size * ((first * height + y) * width + x) * channels
        for begin in range(0, channel_stride, 16):
            for i in range(16):
                position = begin + i - lead
                pixel = read(pixels, position) if 0 <= position < end else -1
                address = source + size * pixel * channels if pixel >= 0 else zeros
                write(addresses, i, address)
            for c in range(0, channels, 16):
                to = packed + phase * args.phase_bytes + 2 * (c * channel_stride + begin)
                if size == 1:
                    transpose_halves(1, addresses, c, to, 2 * channel_stride)
                else:
                    transpose_halves(4, addresses, 4 * c, to, 2 * channel_stride)


@compiled
def pack_gradients(args, first, images, packed, k_tiles):
    """Pack gradients of a chunk as tiles, [16 output channels, 32 positions, term]."""
    outputs, terms = args.out_channels, args.terms
    source = args.out
    source += 4 * first * args.out_height * args.out_width * outputs
    pixels = args.out_pixels
    end = images * args.image_stride
    zero = splat(16, np.float32(0))
    for position in range(0, k_tiles * DEPTH, 2):
        k_tile, row = position // DEPTH, position % DEPTH // 2
        first_pixel = read(pixels, position) if position < end else -1
        second_pixel = read(pixels, position + 1) if position + 1 < end else -1
        for c in range(0, outputs, 16):
            even = load(16, source, first_pixel * outputs + c) if first_pixel >= 0 else zero
            odd = load(16, source, second_pixel * outputs + c) if second_pixel >= 0 else zero
            to = packed + TILE * (c // 16 * k_tiles + k_tile) * terms + 64 * row
            for term in range(terms):
                even_upper, odd_upper = rounded(even), rounded(odd)
                store_pairs(to + TILE * term, even_upper, odd_upper)
                even, odd = even - even_upper, odd - odd_upper


def make_pack_weights(gather: Any) -> Any:
    """Return the kernel that packs weights as tiles, [16 output channels, run, 32 values, term].

    Args:
        gather: as in `instructions`.
    """

    @compiled
    def pack_weights(address):
        args = struct_at(address, ARGUMENTS, 0)
        channels, terms = args.in_channels, args.terms
        stride, in_stride = args.weight_out_stride, args.weight_in_stride
        y_stride, x_stride = args.weight_y_stride, args.weight_x_stride
        zero = splat(16, np.float32(0))
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= args.blocks:
                return
            to = args.packed_weight + TILE * block * args.k_tiles * terms
            for i in range(args.run_count):
                run = struct_at(args.runs, PACKED_RUN, i)
                values, tap_stride = run.taps * channels, run.step * x_stride
                first = 16 * block * stride + run.y * y_stride + run.x * x_stride
                source = args.weight + 4 * first
                for begin in range(0, values, DEPTH):
                    for row in range(16):
                        even, odd = zero, zero
                        k = begin + 2 * row
                        if k < values:  # channels are even
                            tap, c = divmod(k, channels)
                            at = tap * tap_stride + c * in_stride
                            even = gather(source + 4 * at, stride)
                            odd = gather(source + 4 * (at + in_stride), stride)
                        for term in range(terms):
                            even_upper, odd_upper = rounded(even), rounded(odd)
                            store_pairs(to + TILE * term + 64 * row, even_upper, odd_upper)
                            even, odd = even - even_upper, odd - odd_upper
                    to += TILE * terms

    return pack_weights
