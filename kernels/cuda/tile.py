"""One step of the neurons of a tile, and its adjoint, for `passes`.

A tile is `[sites, windows, channels]`: the sites are the rows of a pooled window, or neighbouring
rows without a pool. `neuron` holds the parameters of a step, each `[1, windows, channels]`.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from .. import contract, rules

HALF_PI = tl.constexpr(math.pi / 2)
NORMAL = tl.constexpr(1 / math.sqrt(2 * math.pi))
MEAN = tl.constexpr(contract.MEAN)
SCALE = tl.constexpr(contract.SCALE)
BIAS = tl.constexpr(contract.BIAS)
LEAK = tl.constexpr(contract.LEAK)
GAIN = tl.constexpr(contract.GAIN)
SIZE = tl.constexpr(contract.SIZE)
SUBTRACT = tl.constexpr(rules.SUBTRACT)
ZERO = tl.constexpr(rules.ZERO)
SIGMOID = tl.constexpr(rules.SIGMOID)
ATAN = tl.constexpr(rules.ATAN)
TRIANGULAR = tl.constexpr(rules.TRIANGULAR)
GAUSSIAN = tl.constexpr(rules.GAUSSIAN)
HAT = tl.constexpr(rules.HAT)
LORENTZIAN = tl.constexpr(rules.LORENTZIAN)
TRIANGLE = tl.constexpr(rules.TRIANGLE)
STRAIGHT_THROUGH = tl.constexpr(rules.STRAIGHT_THROUGH)


@triton.jit
def channels_of(block, CHANNELS: tl.constexpr, VALUES: tl.constexpr):
    """Return the channels of a tile, `[1, 1, CHANNELS]`."""
    c = block * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    # A thread takes this many neighbours and no more, and all their sites.
    return tl.max_contiguous(c, (1, 1, VALUES))


@triton.jit
def offsets_of(
    tile,
    c,
    windows,
    height,
    width,
    channels,
    POOL_H: tl.constexpr,
    POOL_W: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
):
    """Return offsets and mask of the sites within a step of x, and of the windows within a step of
    the output."""
    site = tl.arange(0, SITES)[:, None, None]
    window = tl.arange(0, WINDOWS)[None, :, None]
    if POOL_H * POOL_W == 1:
        row = (tile * SITES + site) * WINDOWS + window
        mask = row < windows
        out, out_mask = row, mask
    else:
        window += tile * WINDOWS
        across, down = (width + POOL_W - 1) // POOL_W, (height + POOL_H - 1) // POOL_H
        out_x, out_y = window % across, window // across % down
        image = window // across // down
        y, x = out_y * POOL_H + site // POOL_W, out_x * POOL_W + site % POOL_W
        row = (image * height + y) * width + x
        mask = (window < windows) & (y < height) & (x < width)
        out = (image * (height // POOL_H) + out_y) * (width // POOL_W) + out_x
        out_mask = (window < windows) & (out_y < height // POOL_H) & (out_x < width // POOL_W)
    channel_mask = c < channels
    # In 64 bits: a tensor may have more than 2³¹ values.
    offset, out_offset = row.to(tl.int64) * channels + c, out.to(tl.int64) * channels + c
    return offset, mask & channel_mask, out_offset, out_mask & channel_mask


@triton.jit
def parameters_at(table, channel_mask, t, channels, STEPS: tl.constexpr, SIZED: tl.constexpr):
    """Return mean, scale, bias, leak, gain and reset size of step t.

    Every window reads them itself, from the cache: read once for all windows, they would have to
    be passed between threads.
    """
    table += t * channels
    item = STEPS * channels
    # 1 outside the channels, since membranes are divided by the size.
    mean = tl.load(table + MEAN * item, mask=channel_mask, other=1.0)
    scale = tl.load(table + SCALE * item, mask=channel_mask, other=1.0)
    bias = tl.load(table + BIAS * item, mask=channel_mask, other=1.0)
    leak = tl.load(table + LEAK * item, mask=channel_mask, other=1.0)
    gain = tl.load(table + GAIN * item, mask=channel_mask, other=1.0)
    size = gain
    if SIZED:
        size = tl.load(table + SIZE * item, mask=channel_mask, other=1.0)
    return mean, scale, bias, leak, gain, size


@triton.jit
def threshold_of(threshold_ptr, c, channel_mask, SPREAD: tl.constexpr):
    """Return the threshold: one value, or with SPREAD those of the channels."""
    if SPREAD:
        theta = tl.load(threshold_ptr + c, mask=channel_mask, other=1.0)
    else:
        theta = tl.load(threshold_ptr)
    return theta


@triton.jit
def charge(v, x, neuron):
    """Return the membrane before its reset."""
    mean, scale, bias, leak, gain, _ = neuron
    return leak * v + gain * ((x - mean) * scale + bias)


@triton.jit
def distance(v, neuron, theta, SIZED: tl.constexpr):
    """Return how far a membrane is above the threshold."""
    if SIZED:
        v = tl.div_rn(v, neuron[5])
    return v - theta


@triton.jit
def number_of(v, neuron, theta, SIZED: tl.constexpr, MOST: tl.constexpr):
    """Return the number of spikes of a membrane, a whole number in float32."""
    if MOST == 0:
        n = (distance(v, neuron, theta, SIZED) > 0.0).to(tl.float32)
    else:
        above = v - theta * neuron[5]
        if MOST == 1:
            n = (above > 0.0).to(tl.float32)
        else:
            level = tl.div_rn(above, neuron[5])
            n = tl.ceil(tl.minimum(tl.maximum(level, 0.0), MOST * 1.0))
    return n


@triton.jit
def step(v, x, mask, neuron, theta, RESET: tl.constexpr, SIZED: tl.constexpr, MOST: tl.constexpr):
    """Return the membrane after a step with the input at `x`, and its number of spikes."""
    v = charge(v, tl.load(x, mask=mask, other=0.0).to(tl.float32), neuron)
    n = number_of(v, neuron, theta, SIZED, MOST)
    if RESET == SUBTRACT:
        v = v - n * (neuron[5] if SIZED else theta)
    elif RESET == ZERO:
        v = v * (1.0 - n)
    return v, n


@triton.jit
def first_of(n, SITES: tl.constexpr):
    """Return the first site of each window with the most spikes."""
    site = tl.broadcast_to(tl.arange(0, SITES)[:, None, None], n.shape)
    return tl.min(tl.where(n == tl.max(n, 0, keep_dims=True), site, SITES), 0, keep_dims=True)


@triton.jit
def derivative(u, alpha, SURROGATE: tl.constexpr):
    """Return ds/du."""
    if SURROGATE == SIGMOID:  # σ(z) (1 - σ(z)) is even: with e^-|z| nothing overflows
        e = tl.exp(-tl.abs(alpha * u))
        d = alpha * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == ATAN:
        z = HALF_PI * alpha * u
        d = 0.5 * alpha / (1.0 + z * z)
    elif SURROGATE == TRIANGULAR:
        d = tl.where(u < 0.0, alpha, -alpha)
    elif SURROGATE == GAUSSIAN:
        z = alpha * u
        d = NORMAL * alpha * tl.exp(-0.5 * z * z)
    elif SURROGATE == HAT:
        d = tl.maximum(1.0 - alpha * tl.abs(u), 0.0) * alpha
    elif SURROGATE == LORENTZIAN:
        d = 1.0 / (1.0 + alpha * (u * u))
    else:
        z = alpha * tl.abs(u) + 1.0
        d = 1.0 / (z * z)
    return d


@triton.jit
def slopes(v, size, theta, alpha, SURROGATE: tl.constexpr, MOST: tl.constexpr):
    """Return the derivatives of the number of spikes by the membrane and by the amplitude."""
    slope, moment = tl.zeros_like(v), tl.zeros_like(v)
    level, inverse = tl.div_rn(v - theta * size, size), 1.0 / size
    if SURROGATE == TRIANGLE:
        slope = tl.maximum(tl.minimum(tl.minimum(1.0 + level, MOST - level), 1.0), 0.0) * inverse
        moment = -slope * v * inverse
    elif SURROGATE == STRAIGHT_THROUGH:
        slope = ((level > -1.0) & (level <= MOST)).to(tl.float32) * inverse
        moment = -slope * v * inverse
    else:
        for j in range(MOST):
            at = theta + j
            of_one = derivative(v - at * size, alpha, SURROGATE)
            slope += of_one
            moment -= at * of_one
    return slope, moment


@triton.jit
def adjoint(
    v,
    n,
    d,
    grad_s,
    neuron,
    theta,
    alpha,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    SURROGATE: tl.constexpr,
    MOST: tl.constexpr,
    DETACHED: tl.constexpr,
):
    """Return the gradients of the membrane before its reset, of the threshold and of the size.

    Args:
        v: membrane before its reset.
        n: number of its spikes.
        d: gradient of the membrane after its reset.
        grad_s: gradient of the output, without its effect on the membrane.
    """
    size = neuron[5]
    grad_amount = tl.zeros_like(v)  # of the amount that `subtract` takes off
    if MOST > 0:
        e = grad_s - d
        slope, moment = slopes(v, size, theta, alpha, SURROGATE, MOST)
        g = d + size * e * slope
        grad_theta, grad_size = grad_amount, n * e + size * e * moment
    else:
        if RESET == SUBTRACT:
            if not DETACHED:
                grad_s = grad_s - (size if SIZED else theta) * d
            grad_amount = -n * d
        elif RESET == ZERO:
            if not DETACHED:
                grad_s = grad_s - v * d
            d = d * (1.0 - n)
        e = grad_s * derivative(distance(v, neuron, theta, SIZED), alpha, SURROGATE)
        if SIZED:
            inverse = 1.0 / size
            grad_theta, grad_size = -e, grad_amount - e * v * (inverse * inverse)
            g = d + e * inverse
        else:
            grad_theta, grad_size = grad_amount - e, grad_amount
            g = d + e
    return g, grad_theta, grad_size
