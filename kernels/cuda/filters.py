"""Exponential filters over time, forward and backward: the two kernels that `backend` launches.

A program takes a tile `[ROWS, CHANNELS]` through all steps, with the states of its COUNT poles in
registers. `factors` `[COUNT + 1, channels]`, float32, holds the poles and then the gain.
"""

# Below is Triton's language, which a type checker of Python takes for something else.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def factors_of(factors_ptr, column, channels, COUNT: tl.constexpr):
    """Return the poles and the gain of a tile's channels, each `[1, CHANNELS]`."""
    factors = (tl.load(factors_ptr + column, mask=column < channels, other=0.0),)
    for j in tl.static_range(1, COUNT + 1):
        at = factors_ptr + j * channels + column
        factors = factors + (tl.load(at, mask=column < channels, other=0.0),)  # noqa: RUF005
    return factors


@triton.jit
def states_of(zero, COUNT: tl.constexpr):
    """Return COUNT times the same value."""
    states = (zero,)
    for _ in tl.static_range(1, COUNT):
        states = states + (zero,)  # noqa: RUF005 - Triton has no unpacking here
    return states


@triton.jit
def filtered(states, value, factors, COUNT: tl.constexpr):
    """Return the states after a step with the input `value`; the last one is its output."""
    value = factors[COUNT] * value
    value = factors[0] * states[0] + value
    after = (value,)
    for j in tl.static_range(1, COUNT):
        value = factors[j] * states[j] + value
        after = after + (value,)  # noqa: RUF005
    return after


@triton.jit
def adjoint(states, value, factors, COUNT: tl.constexpr):
    """Return the adjoint states before a step of which the output has the gradient `value`."""
    value = factors[COUNT - 1] * states[COUNT - 1] + value
    before = (value,)
    for k in tl.static_range(1, COUNT):
        value = factors[COUNT - 1 - k] * states[COUNT - 1 - k] + value
        before = (value,) + before  # noqa: RUF005
    return before


@triton.jit(do_not_specialize=["steps", "rows"])
def filter_forward_kernel(
    x_ptr,
    factors_ptr,
    y_ptr,
    steps,
    rows,
    channels,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Filter one tile."""
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    row = program // blocks * ROWS + tl.arange(0, ROWS)[:, None]
    mask = (row < rows) & (column < channels)
    at, stride = row.to(tl.int64) * channels + column, rows.to(tl.int64) * channels
    factors = factors_of(factors_ptr, column, channels, COUNT)
    states = states_of(tl.zeros((ROWS, CHANNELS), tl.float32), COUNT)
    for t in range(steps):
        x = tl.load(x_ptr + t * stride + at, mask=mask, other=0.0).to(tl.float32)
        states = filtered(states, x, factors, COUNT)
        y = states[COUNT - 1].to(y_ptr.dtype.element_ty)
        tl.store(y_ptr + t * stride + at, y, mask=mask)


@triton.jit(do_not_specialize=["steps", "rows"])
def filter_backward_kernel(
    grad_ptr,
    x_ptr,
    factors_ptr,
    q_ptr,
    sums_ptr,
    scratch_ptr,
    steps,
    rows,
    channels,
    COUNT: tl.constexpr,
    LEARNS: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Differentiate tile after tile, and with LEARNS store the sums of this program.

    A first pass then stores the states before each step in the scratch, `[steps, COUNT, tile]` for
    each program.
    """
    TILE: tl.constexpr = ROWS * CHANNELS
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    worker, workers = program // blocks, tl.num_programs(0) // blocks
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    stride = rows.to(tl.int64) * channels
    factors = factors_of(factors_ptr, column, channels, COUNT)
    zero = tl.zeros((ROWS, CHANNELS), tl.float32)
    within = tl.arange(0, ROWS)[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    scratch = scratch_ptr + program.to(tl.int64) * steps * COUNT * TILE + within
    found = states_of(zero, COUNT + 1)
    for tile in range(worker, tl.cdiv(rows, ROWS), workers):
        row = tile * ROWS + tl.arange(0, ROWS)[:, None]
        mask = (row < rows) & (column < channels)
        at = row.to(tl.int64) * channels + column
        if LEARNS:
            states = states_of(zero, COUNT)
            for t in range(steps):
                for j in tl.static_range(COUNT):
                    tl.store(scratch + (t * COUNT + j) * TILE, states[j])
                x = tl.load(x_ptr + t * stride + at, mask=mask, other=0.0).to(tl.float32)
                states = filtered(states, x, factors, COUNT)
            tl.debug_barrier()  # threads may load what others stored
        adjoints = states_of(zero, COUNT)
        for back in range(steps):
            t = steps - 1 - back
            grad = tl.load(grad_ptr + t * stride + at, mask=mask, other=0.0).to(tl.float32)
            adjoints = adjoint(adjoints, grad, factors, COUNT)
            if LEARNS:
                x = tl.load(x_ptr + t * stride + at, mask=mask, other=0.0).to(tl.float32)
                more = (found[COUNT] + adjoints[0] * x,)
                for k in tl.static_range(COUNT):
                    state = tl.load(scratch + (t * COUNT + COUNT - 1 - k) * TILE)
                    part = found[COUNT - 1 - k] + adjoints[COUNT - 1 - k] * state
                    more = (part,) + more  # noqa: RUF005
                found = more
            q = factors[COUNT] * adjoints[0]
            tl.store(q_ptr + t * stride + at, q.to(q_ptr.dtype.element_ty), mask=mask)
        if LEARNS:
            tl.debug_barrier()  # the next tile overwrites what threads may still load
    if LEARNS:
        to = program % blocks * CHANNELS + tl.arange(0, CHANNELS)
        sums = sums_ptr + worker.to(tl.int64) * (COUNT + 1) * channels + to
        for j in tl.static_range(COUNT + 1):
            tl.store(sums + j * channels, tl.sum(found[j], 0), mask=to < channels)
