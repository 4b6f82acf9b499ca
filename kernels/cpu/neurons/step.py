"""One step of leaky neurons on the CPU, forward and backward, compiled by numba.

Neighbouring rows, about as many as make `VALUES` values, are computed together, each value with its
factors. A block of such groups has its own sums, so that the result does not depend on the number
of threads.
"""

# numba infers the types, and gives the intrinsics their first argument.
# pyright: reportCallIssue=false

from __future__ import annotations

import numpy as np

from ..simd import compiled, fetch_and_add, load, splat, store, struct_at
from .neuron import make_neuron

LANES = 16  # where the machine's registers are shorter, several of them
VALUES = 512  # in one group of rows
MAX_BLOCKS = 64
FACTORS = 3  # leak, gain and threshold

# Layout of the kernel argument struct. Addresses are int64.
ARGUMENTS = np.dtype(
    [
        ("next_block", np.int64),  # counter that the threads share
        ("blocks", np.int64),
        ("values_a_block", np.int64),
        ("values_a_group", np.int64),
        ("values", np.int64),  # rows times channels
        ("x", np.int64),
        ("v", np.int64),  # membranes before the step
        ("factors", np.int64),  # [FACTORS, values_a_group]
        ("out", np.int64),  # spikes, or their gradient
        ("after", np.int64),  # membranes after the reset, or their gradient
        ("q", np.int64),  # gradient of x
        ("v_grad", np.int64),
        ("sums", np.int64),  # [blocks, FACTORS, values_a_group]
        ("reset", np.int64),
        ("sized", np.int64),  # 0
        ("surrogate", np.int64),
        ("most", np.int64),  # 0
        ("detached", np.int64),
        ("alpha", np.float32),
    ]
)


def _make(lanes):
    """Return both passes over the values i of a group, from `first` to `end`, `lanes` at a time.

    Values of the group begin at `at`; its sums are those of the block, at `sums`.
    """
    number_of, after_reset, adjoint = make_neuron(lanes)

    @compiled
    def charged(args, at, i):
        """Return the membrane before its reset, and the threshold."""
        factors, size = args.factors, args.values_a_group
        leak, gain = load(lanes, factors, i), load(lanes, factors, size + i)
        v = leak * load(lanes, args.v, at + i) + gain * load(lanes, args.x, at + i)
        return v, load(lanes, factors, 2 * size + i)

    @compiled
    def forward(args, at, sums, first, end):
        for i in range(first, end, lanes):
            v, threshold = charged(args, at, i)
            n = number_of(v, threshold, threshold, args)
            store(args.out, at + i, n)
            store(args.after, at + i, after_reset(v, n, threshold, args))

    @compiled
    def backward(args, at, sums, first, end):
        factors, size = args.factors, args.values_a_group
        alpha = splat(lanes, args.alpha)
        for i in range(first, end, lanes):
            v, threshold = charged(args, at, i)
            n = number_of(v, threshold, threshold, args)
            d, g = load(lanes, args.out, at + i), load(lanes, args.after, at + i)
            g, h, _ = adjoint(v, n, d, g, threshold, threshold, alpha, args)
            store(args.q, at + i, load(lanes, factors, size + i) * g)
            store(args.v_grad, at + i, load(lanes, factors, i) * g)
            add_to(sums, i, g * load(lanes, args.v, at + i))
            add_to(sums, size + i, g * load(lanes, args.x, at + i))
            add_to(sums, 2 * size + i, h)

    @compiled
    def add_to(address, index, value):
        store(address, index, load(lanes, address, index) + value)

    return forward, backward


def _over_blocks(vector, single):
    """Return a pass over block after block until none is left: vectors, then single values."""

    @compiled
    def over_blocks(address):
        args = struct_at(address, ARGUMENTS, 0)
        group = args.values_a_group
        while True:
            block = fetch_and_add(args, "next_block", 1)
            if block >= args.blocks:
                return
            begin = block * args.values_a_block
            sums = args.sums + 4 * block * FACTORS * group
            for at in range(begin, min(args.values, begin + args.values_a_block), group):
                n = min(group, args.values - at)
                vector(args, at, sums, 0, n // LANES * LANES)
                single(args, at, sums, n // LANES * LANES, n)

    return over_blocks


forward_blocks, backward_blocks = (
    _over_blocks(vector, single) for vector, single in zip(_make(LANES), _make(1), strict=True)
)
