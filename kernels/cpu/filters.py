"""Exponential filters over time on the CPU, forward and backward, compiled by numba.

Neighbouring rows, about as many as make `VALUES` values of a step, go through all steps with their
states in the first cache. A block of such groups has its own sums, so that the result does not
depend on the number of threads.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from .simd import compiled, fetch_and_add, load, splat, store, struct_at

LANES = 16  # where the machine's registers are shorter, several of them
VALUES = 512  # of a step, in one group of rows
MAX_BLOCKS = 64

# Layout of the kernel argument struct. Addresses are int64.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("rows_a_block", np.int64),
        ("rows_a_group", np.int64),
        ("steps", np.int64),
        ("rows", np.int64),
        ("channels", np.int64),
        ("count", np.int64),  # of poles
        ("x", np.int64),
        ("factors", np.int64),  # [count + 1, group, channels]: poles, then the gain
        ("out", np.int64),  # y, or the gradient of x
        ("grad", np.int64),  # of y
        ("sums", np.int64),  # [blocks, count + 1, channels], or 0 for none
    ]
)


def _make(lanes):
    """Return the passes over the values i of a group, from `first` to `end`, `lanes` at a time.

    `size` values lie between the factors of two poles, and between the states of two.
    """

    @compiled
    def zeroed(to, first, end):
        for i in range(first, end, lanes):
            store(to, i, splat(lanes, np.float32(0)))

    @compiled
    def filtered(factors, x, before, after, out, count, size, between, first, end):
        """One step forward: the states `before` it to those `after` it, `between` values apart."""
        for i in range(first, end, lanes):
            value = load(lanes, factors, count * size + i) * load(lanes, x, i)
            for j in range(count):
                state = load(lanes, before, j * between + i)
                value = load(lanes, factors, j * size + i) * state + value
                store(after, j * between + i, value)
            if out != 0:
                store(out, i, value)

    @compiled
    def adjoint(factors, grad, adjoints, out, count, size, first, end):
        """One step backward, without gradients of the factors."""
        for i in range(first, end, lanes):
            value = load(lanes, grad, i)
            for k in range(count):
                j = (count - 1 - k) * size + i
                value = load(lanes, factors, j) * load(lanes, adjoints, j) + value
                store(adjoints, j, value)
            store(out, i, load(lanes, factors, count * size + i) * value)

    @compiled
    def products(adjoints, states, x, found, count, size, between, first, end):
        """Add the gradients of the factors in a step."""
        for i in range(first, end, lanes):
            for j in range(count):
                to = j * size + i
                part = load(lanes, adjoints, to) * load(lanes, states, j * between + i)
                store(found, to, load(lanes, found, to) + part)
            to = count * size + i
            part = load(lanes, adjoints, i) * load(lanes, x, i)
            store(found, to, load(lanes, found, to) + part)

    @compiled
    def add(to, values, first, end):
        for i in range(first, end, lanes):
            store(to, i, load(lanes, to, i) + load(lanes, values, i))

    return zeroed, filtered, adjoint, products, add


VECTORS, SINGLES = _make(LANES), _make(1)


def _both(vector, single):
    """Return a pass over the values 0..n - 1: vectors, then single values."""

    @compiled
    def over_all(n, *arguments):
        end = n // LANES * LANES
        vector(*arguments, 0, end)
        single(*arguments, end, n)

    return over_all


zeroed, filtered, adjoint, products, add = (
    _both(vector, single) for vector, single in zip(VECTORS, SINGLES, strict=True)
)


@compiled
def forward_blocks(address):
    """Filter block after block until none is left."""
    args = struct_at(address, ARGUMENTS, 0)
    rows, channels, count, group = args.rows, args.channels, args.count, args.rows_a_group
    size = group * channels
    memory = np.empty(count * size, np.float32)
    states = memory.ctypes.data
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            memory[0] = 0  # a use: numba frees an array after its last one
            return
        begin = block * args.rows_a_block
        end = min(rows, begin + args.rows_a_block)
        for row in range(begin, end, group):
            n = min(group, end - row) * channels
            zeroed(count * size, states)
            for t in range(args.steps):
                at = 4 * (t * rows + row) * channels
                out = args.out + at
                filtered(n, args.factors, args.x + at, states, states, out, count, size, size)


@compiled
def backward_blocks(address):
    """Differentiate block after block until none is left."""
    args = struct_at(address, ARGUMENTS, 0)
    rows, channels, count, group = args.rows, args.channels, args.count, args.rows_a_group
    steps, size, learns = args.steps, group * channels, args.sums != 0
    between = (steps + 1) * size
    # The adjoints, the gradients of the factors, and f^j before each step and after the last one.
    memory = np.zeros((2 * count + 1) * size + (count * between if learns else 0), np.float32)
    adjoints = memory.ctypes.data
    found = adjoints + 4 * count * size
    states = found + 4 * (count + 1) * size
    while True:
        block = fetch_and_add(args, "next_block", 1)
        if block >= args.blocks:
            memory[0] = 0  # a use: numba frees an array after its last one
            return
        begin = block * args.rows_a_block
        end = min(rows, begin + args.rows_a_block)
        for row in range(begin, end, group):
            n = min(group, end - row) * channels
            zeroed((2 * count + 1) * size, adjoints)
            if learns:
                for t in range(steps - 1):
                    x = args.x + 4 * (t * rows + row) * channels
                    before = states + 4 * t * size
                    after = before + 4 * size
                    filtered(n, args.factors, x, before, after, 0, count, size, between)
            for t in range(steps - 1, -1, -1):
                at = 4 * (t * rows + row) * channels
                grad, out = args.grad + at, args.out + at
                adjoint(n, args.factors, grad, adjoints, out, count, size)
                if learns:
                    before = states + 4 * t * size
                    products(n, adjoints, before, args.x + at, found, count, size, between)
            if learns:
                for j in range(count + 1):
                    sums = args.sums + 4 * (block * (count + 1) + j) * channels
                    for first in range(0, n, channels):
                        add(channels, sums, found + 4 * (j * size + first))
