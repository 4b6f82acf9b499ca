"""All steps of the neurons, forward and backward: the two kernels that `backend` launches.

`x_ptr` and the like point to tensors. STEP steps make a segment, which is unrolled.
"""

# Below is Triton's language, which a type checker of Python takes for something else.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .. import contract
from .tile import (
    adjoint,
    channels_of,
    charge,
    first_of,
    number_of,
    offsets_of,
    parameters_at,
    step,
    threshold_of,
)

SUMS = tl.constexpr(contract.SUMS)
SUM_G = tl.constexpr(contract.SUM_G)
SUM_GX = tl.constexpr(contract.SUM_GX)
SUM_GV = tl.constexpr(contract.SUM_GV)
SUM_THRESHOLD = tl.constexpr(contract.SUM_THRESHOLD)
SUM_SIZE = tl.constexpr(contract.SUM_SIZE)


@triton.jit(do_not_specialize=["windows", "rows", "out_rows"])
def forward_kernel(
    x_ptr,
    table_ptr,
    threshold_ptr,
    spikes_ptr,
    counts_ptr,
    windows,
    rows,
    out_rows,
    height,
    width,
    channels,
    STEPS: tl.constexpr,
    STEP: tl.constexpr,
    STATIC: tl.constexpr,
    POOL_H: tl.constexpr,
    POOL_W: tl.constexpr,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    SPREAD: tl.constexpr,
    ONCE: tl.constexpr,
    MOST: tl.constexpr,
    COUNT: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VALUES: tl.constexpr,
):
    """Take one tile through all steps, and store its output and, with COUNT, its spikes' number."""
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    c = channels_of(program % blocks, CHANNELS, VALUES)
    offset, mask, out, out_mask = offsets_of(
        program // blocks, c, windows, height, width, channels, POOL_H, POOL_W, SITES, WINDOWS
    )
    c = tl.broadcast_to(c, (1, WINDOWS, CHANNELS))
    table, channel_mask = table_ptr + c, c < channels
    theta = threshold_of(threshold_ptr, c, channel_mask, SPREAD)
    stride = (0 if STATIC else 1) * rows.to(tl.int64) * channels
    out_stride = out_rows.to(tl.int64) * channels
    out_steps = tl.where(out_mask, STEPS, 0)  # steps that each window stores
    v = tl.zeros((SITES, WINDOWS, CHANNELS), tl.float32)
    silent = v  # 1 once a neuron has fired that fires once
    for begin in range(0, STEPS, STEP):
        for k in tl.static_range(STEP):
            t = tl.minimum(begin + k, STEPS - 1)  # the last segment may be shorter
            neuron = parameters_at(table, channel_mask, t, channels, STEPS, SIZED)
            v, n = step(v, x_ptr + t * stride + offset, mask, neuron, theta, RESET, SIZED, MOST)
            if ONCE:
                n = n * (1.0 - silent)
                silent += n
            spikes = n
            if POOL_H * POOL_W > 1:
                spikes = tl.max(n, 0, keep_dims=True)
            if MOST > 0:
                spikes = spikes * neuron[5]
            spikes = spikes.to(spikes_ptr.dtype.element_ty)
            tl.store(spikes_ptr + t * out_stride + out, spikes, mask=begin + k < out_steps)
            if COUNT:
                number = tl.sum(tl.where(mask, n, 0.0).to(tl.int32))
                counts = counts_ptr + program.to(tl.int64) * STEPS + t
                tl.store(counts, number, mask=begin + k < STEPS)


@triton.jit(do_not_specialize=["windows", "rows", "out_rows"])
def backward_kernel(
    grad_ptr,
    x_ptr,
    table_ptr,
    threshold_ptr,
    q_ptr,
    sums_ptr,
    scratch_ptr,
    alpha,
    windows,
    rows,
    out_rows,
    height,
    width,
    channels,
    STEPS: tl.constexpr,
    STEP: tl.constexpr,
    STATIC: tl.constexpr,
    POOL_H: tl.constexpr,
    POOL_W: tl.constexpr,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    SPREAD: tl.constexpr,
    ONCE: tl.constexpr,
    MOST: tl.constexpr,
    DETACHED: tl.constexpr,
    SURROGATE: tl.constexpr,
    LEARNS: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VALUES: tl.constexpr,
):
    """Take tile after tile forward and backward through all steps, and add to this program's sums.

    Within a segment the membranes before each step stay in registers. With several segments,
    a first pass stores the membranes at their beginnings in the scratch; with ONCE it also finds
    the step of the first spike.
    """
    SEGMENTS: tl.constexpr = (STEPS + STEP - 1) // STEP
    TILE: tl.constexpr = SITES * WINDOWS * CHANNELS
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    worker, workers = program // blocks, tl.num_programs(0) // blocks
    c = channels_of(program % blocks, CHANNELS, VALUES)
    all_c = tl.broadcast_to(c, (1, WINDOWS, CHANNELS))
    table, channel_mask = table_ptr + all_c, all_c < channels
    theta = threshold_of(threshold_ptr, all_c, channel_mask, SPREAD)
    stride = (0 if STATIC else 1) * rows.to(tl.int64) * channels
    out_stride = out_rows.to(tl.int64) * channels
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)
    sums = sums_ptr + worker.to(tl.int64) * SUMS * STEPS * channels + column
    sum_steps = tl.where(column < channels, STEPS, 0)
    item = STEPS * channels
    rest = tl.zeros((SITES, WINDOWS, CHANNELS), tl.float32)
    site, window = tl.arange(0, SITES)[:, None, None], tl.arange(0, WINDOWS)[None, :, None]
    within = (site * WINDOWS + window) * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    within = tl.max_contiguous(within, (1, 1, VALUES))  # as in `channels_of`
    checkpoints = scratch_ptr + program.to(tl.int64) * SEGMENTS * TILE + within
    for tile in range(worker, tl.cdiv(windows * POOL_H * POOL_W, SITES * WINDOWS), workers):
        offset, mask, out, out_mask = offsets_of(
            tile, c, windows, height, width, channels, POOL_H, POOL_W, SITES, WINDOWS
        )
        in_steps, out_steps = tl.where(mask, STEPS, 0), tl.where(out_mask, STEPS, 0)
        last = tl.full((SITES, WINDOWS, CHANNELS), STEPS, tl.int32)  # step of the first spike
        if SEGMENTS > 1 or ONCE:
            v = rest
            for segment in range(SEGMENTS if ONCE else SEGMENTS - 1):
                if SEGMENTS > 1:
                    tl.store(checkpoints + segment * TILE, v)
                for k in range(STEP):
                    t = tl.minimum(segment * STEP + k, STEPS - 1)
                    neuron = parameters_at(table, channel_mask, t, channels, STEPS, SIZED)
                    x_t = x_ptr + t * stride + offset
                    v, n = step(v, x_t, mask, neuron, theta, RESET, SIZED, MOST)
                    if ONCE:
                        fired = (n > 0.0) & (segment * STEP + k < STEPS)
                        last = tl.where(fired, tl.minimum(last, t), last)
            if SEGMENTS > 1 and not ONCE:
                tl.store(checkpoints + (SEGMENTS - 1) * TILE, v)
            tl.debug_barrier()  # threads may load what others stored
        d = rest  # ∂L/∂v_t after the reset
        total = rest  # of q, where x is static
        for back in range(SEGMENTS):
            begin = (SEGMENTS - 1 - back) * STEP
            v = rest
            if SEGMENTS > 1:
                v = tl.load(checkpoints + (SEGMENTS - 1 - back) * TILE)
            before = (v,)
            for k in tl.static_range(STEP - 1):
                t = tl.minimum(begin + k, STEPS - 1)  # the last segment may be shorter
                neuron = parameters_at(table, channel_mask, t, channels, STEPS, SIZED)
                x_t = x_ptr + t * stride + offset
                v, _ = step(v, x_t, mask, neuron, theta, RESET, SIZED, MOST)
                before = before + (v,)  # noqa: RUF005 - Triton has no unpacking here
            for k in tl.static_range(STEP - 1, -1, -1):
                t = tl.minimum(begin + k, STEPS - 1)
                neuron = parameters_at(table, channel_mask, t, channels, STEPS, SIZED)
                mean, scale, _, leak, gain, _ = neuron
                x = tl.load(x_ptr + t * stride + offset, mask=mask, other=0.0).to(tl.float32)
                v = charge(before[k], x, neuron)
                grad = tl.load(
                    grad_ptr + t * out_stride + out, mask=begin + k < out_steps, other=0.0
                )
                grad_s = grad.to(tl.float32)
                n = number_of(v, neuron, theta, SIZED, MOST)
                if ONCE:
                    n = tl.where(t > last, 0.0, n)
                if POOL_H * POOL_W > 1:
                    grad_s = tl.where(site == first_of(n, SITES), grad_s, 0.0)
                if ONCE:
                    grad_s = tl.where(t > last, 0.0, grad_s)
                g, grad_theta, grad_size = adjoint(
                    v, n, d, grad_s, neuron, theta, alpha, RESET, SIZED, SURROGATE, MOST, DETACHED
                )
                d = leak * g
                q = scale * gain * g
                if STATIC:
                    total += q
                else:
                    q = q.to(q_ptr.dtype.element_ty)
                    tl.store(q_ptr + t * stride + offset, q, mask=begin + k < in_steps)
                to, summed = sums + t * channels, begin + k < sum_steps
                _add(to + SUM_G * item, g, summed)
                _add(to + SUM_GX * item, g * (x - mean), summed)
                _add(to + SUM_GV * item, g * before[k], summed)
                if LEARNS:
                    _add(to + SUM_THRESHOLD * item, grad_theta, summed)
                if SIZED:
                    _add(to + SUM_SIZE * item, grad_size, summed)
        if STATIC:
            tl.store(q_ptr + offset, total.to(q_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _add(to, value, mask):
    """Add the sum of a tile for each channel to this program's sum at `to`."""
    value = tl.sum(tl.sum(value, 0), 0)
    tl.store(to, tl.load(to, mask=mask, other=0.0) + value, mask=mask)
