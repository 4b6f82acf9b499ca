"""Convolution by tiles of bfloat16 that is as exact as in float32, compiled by numba.

A float32 is the sum of three bfloat16 a₀ + a₁ + a₂, its terms, and a spike is one bfloat16: with
products of bfloat16 that are added up in float32,

    x w = x₀ (w₀ + w₁ + w₂)                                     x spikes
    g w = g₀ w₀ + g₀ w₁ + g₁ w₀ + g₀ w₂ + g₁ w₁ + g₂ w₀         to 2⁻²⁴, like float32 itself

Only the stride changes the size of images: 2 padding = kernel - 1, and sizes are multiples of the
stride. Channels are multiples of 16. `layout` says how images are packed.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..simd import compiled, fetch_and_add, load, read, splat, store, struct_at
from .layout import DEPTH, PHASE, READ_RUN
from .packing import (
    ARGUMENTS,
    TILE,
    make_pack_weights,
    pack,
    pack_by_channel,
    pack_gradients,
)

# Bytes in front of the packed values: two tiles of results beside each other, or 16 addresses.
SCRATCH_OFFSET = 2176


class TileKernels(NamedTuple):
    """Kernels that read `ARGUMENTS` at an address."""

    pack_weights: Any
    convolve: Any
    weight_gradients: Any


def make_kernels(tiles: Any) -> TileKernels:
    """Return the kernels that compute with tiles.

    Args:
        tiles: `instructions`, or another module with its functions on tiles.
    """
    return TileKernels(
        make_pack_weights(tiles.gather), _make_convolve(tiles), _make_weight_gradients(tiles)
    )


@compiled
def aligned(address):
    return (address + 63) // 64 * 64


@compiled
def scratch_of(args):
    """Return the memory of this thread, all zeros."""
    size = args.scratch_bytes
    begin = args.scratch + size * fetch_and_add(args, "next_scratch", 1)
    for i in range(0, size // 4, 16):
        store(begin, i, splat(16, np.float32(0)))
    return begin


def _make_product(tiles: Any, width: int) -> Any:
    """Return the convolution of a chunk for 16 `width` output channels of a phase, width 1 or 2."""
    clear_tile, multiply_tiles = tiles.clear_tile, tiles.multiply_tiles
    load_tile, store_tile = tiles.load_tile, tiles.store_tile

    @compiled
    def product(args, packed, results, first, images, phase_index, c):
        outputs, stride = args.out_channels, 2 * args.in_channels
        x_terms, terms = args.x_terms, args.terms
        term_bytes = args.stride_y * args.stride_x * args.phase_bytes
        phase = struct_at(args.phases, PHASE, phase_index)
        next_outputs = TILE * args.k_tiles * terms  # from 16 output channels to the next
        weight = args.weight + c // 16 * next_outputs + TILE * phase.k_tile * terms
        bias = args.bias
        first_pixel = phase.pixel + first * args.out_height * args.out_width
        out = args.out + 4 * first_pixel * outputs
        out_step = 4 * outputs * args.out_stride_x
        pixels, contiguous = args.out_pixels, args.contiguous
        end = images * args.image_stride
        for position in range(0, end, 32):
            if bias != 0:  # the same row 16 times
                load_tile(0, bias + 4 * c, 0)
                load_tile(2, bias + 4 * c, 0)
                if width > 1:
                    load_tile(1, bias + 4 * c + 64, 0)
                    load_tile(3, bias + 4 * c + 64, 0)
            else:
                clear_tile(0)
                clear_tile(2)
                if width > 1:
                    clear_tile(1)
                    clear_tile(3)
            b = weight
            for i in range(phase.first_run, phase.end_run):
                run = struct_at(args.runs, READ_RUN, i)
                a = packed + stride * position + run.offset
                for _ in range(run.k_tiles):
                    for x_term in range(x_terms):
                        load_tile(4, a + x_term * term_bytes, stride)
                        load_tile(5, a + x_term * term_bytes + 16 * stride, stride)
                        for term in range(terms - x_term):
                            load_tile(6, b + TILE * term, 64)
                            if width > 1:
                                load_tile(7, b + next_outputs + TILE * term, 64)
                            multiply_tiles(0, 4, 6)
                            multiply_tiles(2, 5, 6)
                            if width > 1:
                                multiply_tiles(1, 4, 7)
                                multiply_tiles(3, 5, 7)
                    a += 2 * DEPTH
                    b += TILE * terms
            for half in range(2):
                begin = position + 16 * half
                to = out + 4 * (read(pixels, begin) * outputs + c)
                direct = begin + 16 <= end and read(contiguous, begin // 16) != 0
                at, step = (to, out_step) if direct else (results, 128)
                if half == 0:
                    store_tile(0, at, step)
                    if width > 1:
                        store_tile(1, at + 64, step)
                else:
                    store_tile(2, at, step)
                    if width > 1:
                        store_tile(3, at + 64, step)
                if not direct:
                    for row in range(min(16, end - begin)):
                        pixel = read(pixels, begin + row)
                        if pixel >= 0:
                            for i in range(width):
                                value = load(16, results, 32 * row + 16 * i)
                                store(out, pixel * outputs + c + 16 * i, value)

    return product


def _make_convolve(tiles: Any) -> Any:
    product_one, product_two = _make_product(tiles, 1), _make_product(tiles, 2)
    configure, release = tiles.configure, tiles.release

    @compiled
    def convolve(address):
        """Convolve block after block of images until none is left."""
        args = struct_at(address, ARGUMENTS, 0)
        phases = args.out_stride_y * args.out_stride_x
        results = scratch_of(args)
        packed = results + SCRATCH_OFFSET
        configure(results)
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= args.blocks:
                release()
                return
            first = block * args.chunk_images
            images = min(args.chunk_images, args.images - first)
            pack(args, first, images, packed)
            for c in range(0, args.out_channels, 32):
                for phase in range(phases):
                    if args.out_channels - c >= 32:
                        product_two(args, packed, results, first, images, phase, c)
                    else:
                        product_one(args, packed, results, first, images, phase, c)

    return convolve


@compiled
def input_of(args, index, packed):
    """Return where a pair of 16 channels and tap reads packed x."""
    channels, tap = divmod(index, args.taps)
    return packed + 2 * 16 * channels * args.channel_stride + read(args.tap_offsets, tap)


@compiled
def sum_of(args, index, sums, c):
    """Return where the gradients of a pair of 16 channels and tap are added up."""
    taps = args.taps
    channels, tap = divmod(index, taps)
    return sums + 4 * ((channels * 16 * taps + tap) * args.out_channels + c)


def _make_sum(tiles: Any, width: int) -> Any:
    """Return the sums over a chunk for `width` pairs of 16 channels and tap, width 1 or 3."""
    clear_tile, multiply_tiles = tiles.clear_tile, tiles.multiply_tiles
    load_tile, store_tile = tiles.load_tile, tiles.store_tile

    @compiled
    def add_up(args, index, packed, gradients, k_tiles, sums, c, begins):
        terms = args.terms
        stride = 2 * args.channel_stride
        step = 4 * args.out_channels * args.taps
        b = gradients + TILE * (c // 16) * k_tiles * terms
        a0 = a1 = a2 = input_of(args, index, packed)
        if width > 1:
            a1 = input_of(args, index + 1, packed)
            a2 = input_of(args, index + 2, packed)
        if begins:
            clear_tile(0)
            clear_tile(1)
            clear_tile(2)
        else:
            load_tile(0, sum_of(args, index, sums, c), step)
            if width > 1:
                load_tile(1, sum_of(args, index + 1, sums, c), step)
                load_tile(2, sum_of(args, index + 2, sums, c), step)
        for _ in range(k_tiles):
            load_tile(3, a0, stride)
            load_tile(6, b, 64)
            multiply_tiles(0, 3, 6)
            a0 += 2 * DEPTH
            if width > 1:
                load_tile(4, a1, stride)
                multiply_tiles(1, 4, 6)
                load_tile(5, a2, stride)
                multiply_tiles(2, 5, 6)
                a1 += 2 * DEPTH
                a2 += 2 * DEPTH
            if terms > 1:
                load_tile(7, b + TILE, 64)
                multiply_tiles(0, 3, 7)
                if width > 1:
                    multiply_tiles(1, 4, 7)
                    multiply_tiles(2, 5, 7)
            if terms > 2:
                load_tile(6, b + 2 * TILE, 64)
                multiply_tiles(0, 3, 6)
                if width > 1:
                    multiply_tiles(1, 4, 6)
                    multiply_tiles(2, 5, 6)
            b += TILE * terms
        store_tile(0, sum_of(args, index, sums, c), step)
        if width > 1:
            store_tile(1, sum_of(args, index + 1, sums, c), step)
            store_tile(2, sum_of(args, index + 2, sums, c), step)

    return add_up


def _make_weight_gradients(tiles: Any) -> Any:
    add_up_one, add_up_three = _make_sum(tiles, 1), _make_sum(tiles, 3)
    configure, release = tiles.configure, tiles.release

    @compiled
    def weight_gradients(address):
        """Add up the gradients of block after block of images until none is left."""
        args = struct_at(address, ARGUMENTS, 0)
        channels, outputs, chunk = args.in_channels, args.out_channels, args.chunk_images
        taps = args.taps
        addresses = scratch_of(args)
        zeros = addresses + SCRATCH_OFFSET
        packed = zeros + aligned(4 * channels)
        gradients = packed + args.stride_y * args.stride_x * args.phase_bytes
        configure(addresses)
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= args.blocks:
                release()
                return
            sums = args.sums + 4 * block * channels * taps * outputs
            begin = block * args.block_images
            end = min(args.images, begin + args.block_images)
            for first in range(begin, end, chunk):
                images = min(chunk, end - first)
                k_tiles = (images * args.image_stride + DEPTH - 1) // DEPTH
                pack_by_channel(args, first, images, packed, addresses, zeros)
                pack_gradients(args, first, images, gradients, k_tiles)
                pairs, begins = channels // 16 * taps, first == begin
                for c in range(0, outputs, 16):
                    for index in range(0, pairs - 2, 3):
                        add_up_three(args, index, packed, gradients, k_tiles, sums, c, begins)
                    for index in range(pairs // 3 * 3, pairs):
                        add_up_one(args, index, packed, gradients, k_tiles, sums, c, begins)

    return weight_gradients
