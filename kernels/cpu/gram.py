"""How often two channels of spikes are active together, by counting bits. Compiled by numba."""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np
from numba import carray  # pyright: ignore

from .simd import add_common_bits, compiled, fetch_and_add, load, pointer, splat, store, struct_at

WORD = 64  # rows whose bits are one int64
GROUP = 8  # channels that are counted together; their number is a multiple of it
LANES = 16  # of a group of int64
OF_A_BLOCK = 4  # channels that are counted at a time with each group

# Layout of the kernel argument struct. Addresses are int64.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("rows", np.int64),
        ("channels", np.int64),
        ("x", np.int64),  # float32 [rows, channels]
        ("bits", np.int64),  # int64 [blocks of rows, channels]: a bit for each active value
        ("most", np.int64),  # float32 [channels]: the one value of active ones
        ("others", np.int64),  # int64 [blocks of rows]: how many active values are another one
        ("active", np.int64),  # int64 [blocks of rows, channels]: how many values are active
        ("counts", np.int64),  # int64 [channels, channels]: how many values are active in both
        ("out", np.int64),  # float32 [channels, channels]: the covariance times rows
    ]
)


@compiled
def pack_blocks(address):
    """Pack the bits of block after block of 64 rows until none is left."""
    args = struct_at(address, ARGUMENTS, 0)
    rows, channels = args.rows, args.channels
    x = carray(pointer(args.x), (rows, channels), np.float32)
    bits = carray(pointer(args.bits), (args.blocks, channels), np.int64)
    most = carray(pointer(args.most), (channels,), np.float32)
    others = carray(pointer(args.others), (args.blocks,), np.int64)
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        word = bits[block]
        word[:] = 0
        found = 0
        for bit in range(min(WORD, rows - block * WORD)):
            row = x[block * WORD + bit]
            for c in range(channels):
                is_active = np.int64(row[c] != 0)
                word[c] |= is_active << bit
                found += is_active & np.int64(row[c] != most[c])
        others[block] = found
        none = splat(LANES, np.float32(0))  # which has the bits of int64 zeros
        for c in range(0, channels, GROUP):
            here = 2 * (block * channels + c)
            store(args.active, here, add_common_bits(none, load(LANES, args.bits, here), -1))


@compiled
def covariance_blocks(address):
    """Compute block after block of channels, with all others, until none is left.

    To compute pairs twice takes less time than to write the second half column by column.

    Σ_n (x_ni - x̄_i) (x_nj - x̄_j) = V_i V_j (both - active_i active_j / rows)
    """
    args = struct_at(address, ARGUMENTS, 0)
    rows, channels = args.rows, args.channels
    words = (rows + WORD - 1) // WORD
    bits = carray(pointer(args.bits), (words, channels), np.int64)
    active = carray(pointer(args.active), (channels,), np.int64)
    most = carray(pointer(args.most), (channels,), np.float32)
    counts = carray(pointer(args.counts), (channels, channels), np.int64)
    out = carray(pointer(args.out), (channels, channels), np.float32)
    while True:
        i = OF_A_BLOCK * fetch_and_add(args, "next_block", 1)
        if i >= channels:
            return
        for j in range(0, channels, GROUP):
            none = splat(LANES, np.float32(0))  # which has the bits of int64 zeros
            a, b, c, d = none, none, none, none
            for w in range(words):
                word, mine = load(LANES, args.bits, 2 * (w * channels + j)), bits[w, i:]
                a, b = add_common_bits(a, word, mine[0]), add_common_bits(b, word, mine[1])
                c, d = add_common_bits(c, word, mine[2]), add_common_bits(d, word, mine[3])
            first = 2 * (i * channels + j)
            store(args.counts, first, a)
            store(args.counts, first + 2 * channels, b)
            store(args.counts, first + 4 * channels, c)
            store(args.counts, first + 6 * channels, d)
        for k in range(i, i + OF_A_BLOCK):
            share, of_k = active[k] / rows, np.float64(most[k])
            number, row = counts[k], out[k]
            for j in range(channels):
                row[j] = np.float32((number[j] - share * active[j]) * of_k * most[j])
