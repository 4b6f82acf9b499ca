"""One step of the neurons of a tile, and its adjoint, for the passes of `triton_passes`.

A tile is `[sites, windows, channels]`: the sites are the rows of a pooled window, or neighbours
where nothing is pooled. `neuron` is what a step has in the table, each `[1, windows, channels]`.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from .. import contract

HALF_PI = tl.constexpr(math.pi / 2)
MEAN = tl.constexpr(contract.MEAN)
SCALE = tl.constexpr(contract.SCALE)
BIAS = tl.constexpr(contract.BIAS)
LEAK = tl.constexpr(contract.LEAK)
GAIN = tl.constexpr(contract.GAIN)
SIZE = tl.constexpr(contract.SIZE)


@triton.jit
def channels_of(block, CHANNELS: tl.constexpr, VALUES: tl.constexpr):
    """Return the channels of a tile, `[1, 1, CHANNELS]`."""
    c = block * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    # A thread takes this many neighbours and no more, so that all sites of them are its own.
    return tl.max_contiguous(c, (1, 1, VALUES))


@triton.jit
def places(
    tile,
    c,
    windows,
    height,
    width,
    channels,
    PH: tl.constexpr,
    PW: tl.constexpr,
    SITES: tl.constexpr,
    WINDOWS: tl.constexpr,
):
    """Return the place of every site in a step of x, and whether there is something; then the
    same of the windows in a step of the output."""
    site = tl.arange(0, SITES)[:, None, None]
    window = tl.arange(0, WINDOWS)[None, :, None]
    if PH * PW == 1:
        row = (tile * SITES + site) * WINDOWS + window
        there = row < windows
        out, full = row, there
    else:
        window += tile * WINDOWS
        columns, lines = (width + PW - 1) // PW, (height + PH - 1) // PH
        column, line = window % columns, window // columns % lines
        image = window // columns // lines
        y, x = line * PH + site // PW, column * PW + site % PW
        row = (image * height + y) * width + x
        there = (window < windows) & (y < height) & (x < width)
        out = (image * (height // PH) + line) * (width // PW) + column
        full = (window < windows) & (line < height // PH) & (column < width // PW)
    known = c < channels
    # Counted in 64 bits: a tensor may have more than 2³¹ values.
    place, out_place = row.to(tl.int64) * channels + c, out.to(tl.int64) * channels + c
    return place, there & known, out_place, full & known


@triton.jit
def neuron_at(table, known, t, channels, STEPS: tl.constexpr, SIZED: tl.constexpr):
    """Return mean, scale, bias, leak, gain and reset size of step t.

    Every window reads them for itself, from the cache: read once for all windows they would have
    to be handed from thread to thread.
    """
    table += t * channels
    item = STEPS * channels
    # 1 where there is nothing, since membranes are divided by the size.
    mean = tl.load(table + MEAN * item, mask=known, other=1.0)
    scale = tl.load(table + SCALE * item, mask=known, other=1.0)
    bias = tl.load(table + BIAS * item, mask=known, other=1.0)
    leak = tl.load(table + LEAK * item, mask=known, other=1.0)
    gain = tl.load(table + GAIN * item, mask=known, other=1.0)
    size = gain
    if SIZED:
        size = tl.load(table + SIZE * item, mask=known, other=1.0)
    return mean, scale, bias, leak, gain, size


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
def step(v, x, there, neuron, theta, RESET: tl.constexpr, SIZED: tl.constexpr):
    """Return the membrane after a step with what is at `x`, and whether it fired."""
    v = charge(v, tl.load(x, mask=there, other=0.0).to(tl.float32), neuron)
    fired = distance(v, neuron, theta, SIZED) > 0.0
    s = fired.to(tl.float32)
    if RESET == 0:
        v = v - s * (neuron[5] if SIZED else theta)
    elif RESET == 1:
        v = v * (1.0 - s)
    return v, fired


@triton.jit
def first_of(fired, SITES: tl.constexpr):
    """Return the first site of each window that fired, SITES if none did."""
    site = tl.broadcast_to(tl.arange(0, SITES)[:, None, None], fired.shape)
    return tl.min(tl.where(fired, site, SITES), 0, keep_dims=True)


@triton.jit
def derivative(u, alpha, SURROGATE: tl.constexpr):
    """Return ds/du."""
    if SURROGATE == 0:  # σ(z) (1 - σ(z)) is even: with e^-|z| nothing overflows
        e = tl.exp(-tl.abs(alpha * u))
        d = alpha * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == 1:
        z = HALF_PI * alpha * u
        d = 0.5 * alpha / (1.0 + z * z)
    elif SURROGATE == 2:
        d = tl.where(u < 0.0, alpha, -alpha)
    else:
        z = alpha * tl.abs(u) + 1.0
        d = 1.0 / (z * z)
    return d


@triton.jit
def adjoint(
    v,
    d,
    of_spike,
    neuron,
    theta,
    alpha,
    RESET: tl.constexpr,
    SIZED: tl.constexpr,
    SURROGATE: tl.constexpr,
):
    """Return the gradients of the membrane before its reset, of the threshold and of the size.

    Args:
        v: membrane before its reset.
        d: gradient of the membrane after it.
        of_spike: gradient of the spike, but for what it does to the membrane.
    """
    size = neuron[5]
    u = distance(v, neuron, theta, SIZED)
    s = (u > 0.0).to(tl.float32)
    of_amount = tl.zeros_like(v)  # the amount is what `subtract` takes off
    if RESET == 0:
        of_spike = of_spike - (size if SIZED else theta) * d
        of_amount = -s * d
    elif RESET == 1:
        of_spike = of_spike - v * d
        d = d * (1.0 - s)
    e = of_spike * derivative(u, alpha, SURROGATE)
    if SIZED:
        inverse = 1.0 / size
        of_theta, of_size = -e, of_amount - e * v * (inverse * inverse)
        g = d + e * inverse
    else:
        of_theta, of_size = of_amount - e, of_amount
        g = d + e
    return g, of_theta, of_size
