"""Sums of rows that lie apart in memory, on the CPU, compiled by numba.

Each output has terms: rows of the input, as many as it has itself. A block is some rows of all
outputs, whose terms are often the same rows of the input: they stay in the cache.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import compiled, fetch_and_add, load, read, splat, store, struct_at

LANES = 16  # where the machine's registers are shorter, several of them
VALUES = 4096  # of an output, in a block: 16 KiB

# Layout of the kernel argument struct. Addresses are int64; places are in values.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("rows_a_block", np.int64),
        ("rows", np.int64),
        ("channels", np.int64),
        ("outputs", np.int64),
        ("terms", np.int64),  # of an output, at most
        ("x", np.int64),
        ("out", np.int64),
        ("x_stride", np.int64),  # from a row to the next
        ("out_stride", np.int64),
        ("places", np.int64),  # [outputs]: the first row of each in `out`
        ("sources", np.int64),  # [outputs, terms]: the first row of each in `x`; -1 for no more
    ]
)


def _make(lanes):
    @compiled
    def cleared(out, first, end):
        for i in range(first, end, lanes):
            store(out, i, splat(lanes, np.float32(0)))

    @compiled
    def copied(out, x, first, end):
        for i in range(first, end, lanes):
            store(out, i, load(lanes, x, i))

    @compiled
    def added(out, x, first, end):
        for i in range(first, end, lanes):
            store(out, i, load(lanes, out, i) + load(lanes, x, i))

    return cleared, copied, added


(clear, copy, add), (clear_one, copy_one, add_one) = _make(LANES), _make(1)


@compiled
def sum_blocks(address):
    """Compute block after block until none is left."""
    args = struct_at(address, ARGUMENTS, 0)
    channels = args.channels
    end = channels // LANES * LANES
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            return
        begin = block * args.rows_a_block
        rows = min(args.rows, begin + args.rows_a_block) - begin
        for output in range(args.outputs):
            place = read(args.places, output) + begin * args.out_stride
            for j in range(args.terms):
                source = read(args.sources, output * args.terms + j)
                if source < 0 and j > 0:
                    break
                for row in range(rows):
                    out = args.out + 4 * (place + row * args.out_stride)
                    if source < 0:
                        clear(out, 0, end)
                        clear_one(out, end, channels)
                        continue
                    x = args.x + 4 * (source + (begin + row) * args.x_stride)
                    if j == 0:
                        copy(out, x, 0, end)
                        copy_one(out, x, end, channels)
                    else:
                        add(out, x, 0, end)
                        add_one(out, x, end, channels)
