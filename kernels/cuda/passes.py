"""All steps of the neurons, forward and back: the two kernels that `cuda` launches.

`x_at` and the like are where a tensor begins; STEP steps make a segment, which is unrolled.
"""

# What is below is Triton's language, which a type checker of Python takes for something else.
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from .. import contract
from .tile import adjoint, channels_of, charge, distance, first_of, neuron_at, places, step

SUMS = tl.constexpr(contract.SUMS)
SUM_G = tl.constexpr(contract.SUM_G)
SUM_GX = tl.constexpr(contract.SUM_GX)
SUM_GV = tl.constexpr(contract.SUM_GV)
SUM_THRESHOLD = tl.constexpr(contract.SUM_THRESHOLD)
SUM_SIZE = tl.constexpr(contract.SUM_SIZE)


@triton.jit(do_not_specialize=["windows", "rows", "out_rows"])
def forward_kernel(
    x_at,
    table_at,
    threshold_at,
    spikes_at,
    counts_at,
    windows,
    rows,
    out_rows,
    height,
    width,
    channels,
    STEPS: tl.constexpr,
    STEP: tl.constexpr,
    STATIC: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    COUNT: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VALUES: tl.constexpr,
):
    """Take one tile through all steps, and store its spikes and how many there were."""
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    c = channels_of(program % blocks, CHANNELS, VALUES)
    place, there, out, full = places(
        program // blocks, c, windows, height, width, channels, PH, PW, SITES, WINDOWS
    )
    c = tl.broadcast_to(c, (1, WINDOWS, CHANNELS))
    table, known = table_at + c, c < channels
    theta = tl.load(threshold_at)
    stride = (0 if STATIC else 1) * rows.to(tl.int64) * channels
    out_stride = out_rows.to(tl.int64) * channels
    stored = tl.where(full, STEPS, 0)  # steps of each place that the output has
    v = tl.zeros((SITES, WINDOWS, CHANNELS), tl.float32)
    for begin in range(0, STEPS, STEP):
        for k in tl.static_range(STEP):
            t = tl.minimum(begin + k, STEPS - 1)  # the last segment may have steps too many
            neuron = neuron_at(table, known, t, channels, STEPS, SIZED)
            v, fired = step(v, x_at + t * stride + place, there, neuron, theta, RESET, SIZED)
            spikes = fired
            if PH * PW > 1:
                spikes = first_of(fired, SITES) < SITES
            spikes = spikes.to(tl.float32).to(spikes_at.dtype.element_ty)
            tl.store(spikes_at + t * out_stride + out, spikes, mask=begin + k < stored)
            if COUNT:
                number = tl.sum((fired & there).to(tl.int32))
                counts = counts_at + program.to(tl.int64) * STEPS + t
                tl.store(counts, number, mask=begin + k < STEPS)


@triton.jit(do_not_specialize=["windows", "rows", "out_rows"])
def backward_kernel(
    grad_at,
    x_at,
    table_at,
    threshold_at,
    q_at,
    sums_at,
    scratch_at,
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
    PH: tl.constexpr,
    PW: tl.constexpr,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    SURROGATE: tl.constexpr,
    LEARNS: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
    CHANNELS: tl.constexpr,
    VALUES: tl.constexpr,
):
    """Take tile after tile through all steps and back, and add to the sums of this program.

    Within a segment the membranes before each step stay in registers. Where there are several
    segments, a first pass leaves the membranes that they begin with in the scratch.
    """
    SEGMENTS: tl.constexpr = (STEPS + STEP - 1) // STEP
    TILE: tl.constexpr = SITES * WINDOWS * CHANNELS
    program, blocks = tl.program_id(0), tl.cdiv(channels, CHANNELS)
    worker, workers = program // blocks, tl.num_programs(0) // blocks
    c = channels_of(program % blocks, CHANNELS, VALUES)
    wide_c = tl.broadcast_to(c, (1, WINDOWS, CHANNELS))
    table, known = table_at + wide_c, wide_c < channels
    theta = tl.load(threshold_at)
    stride = (0 if STATIC else 1) * rows.to(tl.int64) * channels
    out_stride = out_rows.to(tl.int64) * channels
    column = program % blocks * CHANNELS + tl.arange(0, CHANNELS)
    sums = sums_at + worker.to(tl.int64) * SUMS * STEPS * channels + column
    summed = tl.where(column < channels, STEPS, 0)
    item = STEPS * channels
    rest = tl.zeros((SITES, WINDOWS, CHANNELS), tl.float32)
    site, window = tl.arange(0, SITES)[:, None, None], tl.arange(0, WINDOWS)[None, :, None]
    own = (site * WINDOWS + window) * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    own = tl.max_contiguous(own, (1, 1, VALUES))  # as in `channels_of`
    begins = scratch_at + program.to(tl.int64) * SEGMENTS * TILE + own
    for tile in range(worker, tl.cdiv(windows * PH * PW, SITES * WINDOWS), workers):
        place, there, out, full = places(
            tile, c, windows, height, width, channels, PH, PW, SITES, WINDOWS
        )
        stored, had = tl.where(there, STEPS, 0), tl.where(full, STEPS, 0)
        if SEGMENTS > 1:
            v = rest
            tl.store(begins, v)
            for segment in range(1, SEGMENTS):
                for k in range(STEP):
                    t = (segment - 1) * STEP + k
                    neuron = neuron_at(table, known, t, channels, STEPS, SIZED)
                    v, _ = step(v, x_at + t * stride + place, there, neuron, theta, RESET, SIZED)
                tl.store(begins + segment * TILE, v)
            tl.debug_barrier()  # in case that threads do not load what they stored themselves
        d = rest  # ∂L/∂v_t after the reset
        total = rest  # of q, where x is static
        for back in range(SEGMENTS):
            begin = (SEGMENTS - 1 - back) * STEP
            v = rest
            if SEGMENTS > 1:
                v = tl.load(begins + (SEGMENTS - 1 - back) * TILE)
            before = (v,)
            for k in tl.static_range(STEP - 1):
                t = tl.minimum(begin + k, STEPS - 1)  # the last segment may have steps too many
                neuron = neuron_at(table, known, t, channels, STEPS, SIZED)
                v, _ = step(v, x_at + t * stride + place, there, neuron, theta, RESET, SIZED)
                before = before + (v,)  # noqa: RUF005 - Triton has no unpacking here
            for k in tl.static_range(STEP - 1, -1, -1):
                t = tl.minimum(begin + k, STEPS - 1)
                neuron = neuron_at(table, known, t, channels, STEPS, SIZED)
                mean, scale, _, leak, gain, _ = neuron
                x = tl.load(x_at + t * stride + place, mask=there, other=0.0).to(tl.float32)
                v = charge(before[k], x, neuron)
                grad = tl.load(grad_at + t * out_stride + out, mask=begin + k < had, other=0.0)
                of_spike = grad.to(tl.float32)
                if PH * PW > 1:  # to the first that fired, to the first of all if none did
                    first = first_of(distance(v, neuron, theta, SIZED) > 0.0, SITES)
                    of_spike = tl.where(site == first % SITES, of_spike, 0.0)
                g, of_theta, of_size = adjoint(
                    v, d, of_spike, neuron, theta, alpha, RESET, SIZED, SURROGATE
                )
                d = leak * g
                q = scale * gain * g
                if STATIC:
                    total += q
                else:
                    q = q.to(q_at.dtype.element_ty)
                    tl.store(q_at + t * stride + place, q, mask=begin + k < stored)
                to, some = sums + t * channels, begin + k < summed
                _add(to + SUM_G * item, g, some)
                _add(to + SUM_GX * item, g * (x - mean), some)
                _add(to + SUM_GV * item, g * before[k], some)
                if LEARNS:
                    _add(to + SUM_THRESHOLD * item, of_theta, some)
                if SIZED:
                    _add(to + SUM_SIZE * item, of_size, some)
        if STATIC:
            tl.store(q_at + place, total.to(q_at.dtype.element_ty), mask=there)


@triton.jit
def _add(to, value, some):
    """Add the sum of a tile for each channel to what this program has at `to`."""
    value = tl.sum(tl.sum(value, 0), 0)
    tl.store(to, tl.load(to, mask=some, other=0.0) + value, mask=some)
