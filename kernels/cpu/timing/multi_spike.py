"""Neurons of many exact spike times on the CPU, forward and backward, compiled by numba.

Forward, one sample is a block: its events pass in time, and the states of all neurons stay in the
first cache. Backward, a group of neurons is a block, with its own sums over the samples.

Between two events the state (V, I) is multiplied by one matrix, [[p, q], [0, s]] for an interval d:

    V ← p V + q I        p = exp(-d/τ), or 1 for the integrator
    I ← s I              s = exp(-d/τ_s)        q = ε(d), the response to a unit jump of I

The sums of the backward pass move with the same matrix from a spike to the events before it. All
exponents are of intervals, so nothing overflows.
"""

# numba infers the types.
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import numpy as np

from .compiled import compiled, inner

DOUBLE, INTEGRATOR, EQUAL = 0, 1, 2  # membranes: τ = 2 τ_s, τ = ∞, τ = τ_s
NEURONS_A_BLOCK = 32  # of the backward pass
NEWTON_STEPS = 200  # it converges quadratically, and by halves where the peak touches the threshold
GRAZING = 1e-6  # spikes of a slope below GRAZING θ/τ_s have no gradient


@inner
def interval(membrane, tau_s, d):
    """Return p, q, s of an interval d >= 0."""
    if membrane == DOUBLE:
        p = math.exp(-0.5 * d / tau_s)
        return p, -2 * tau_s * p * math.expm1(-0.5 * d / tau_s), p * p
    s = math.exp(-d / tau_s)
    if membrane == INTEGRATOR:
        return 1.0, -tau_s * math.expm1(-d / tau_s), s
    return s, d * s, s


@inner
def rate(membrane, tau_s):
    """Return 1/τ."""
    if membrane == DOUBLE:
        return 0.5 / tau_s
    return 0.0 if membrane == INTEGRATOR else 1 / tau_s


@inner
def crossing(membrane, tau_s, threshold, v, i, d, p, s):
    """Return when the membrane first reaches θ in an interval d with the factors p and s; -1 if it
    does not.

    The current i is above θ/τ: at a lower one the membrane cannot rise to the threshold.
    """
    if v >= threshold:  # by rounding: it was reached at the end of the interval before
        return 0.0
    if membrane == DOUBLE:
        # V/τ = b u - i u² with u = exp(-t/τ), of which the greater root comes first.
        b, c = 0.5 * v / tau_s + i, 0.5 * threshold / tau_s
        root = b * b - 4 * i * c
        if root < 0:
            return -1.0
        u = (b + math.sqrt(root)) / (2 * i)
        # u > 1: it crossed θ downwards before the interval; the state is below it now.
        return min(-2 * tau_s * math.log(u), d) if p <= u < 1 else -1.0
    if membrane == INTEGRATOR:
        u = 1 - (threshold - v) / (tau_s * i)
        return min(-tau_s * math.log(u), d) if u >= s else -1.0
    peak = min(tau_s - v / i, d)
    if peak <= 0 or (v + i * peak) * math.exp(-peak / tau_s) < threshold:
        return -1.0
    t = 0.0
    # Up to its peak V is concave: Newton's method comes from the left and does not pass the root.
    for _ in range(NEWTON_STEPS):
        factor = math.exp(-t / tau_s)
        reached = v + i * t
        slope = (i - reached / tau_s) * factor
        if slope <= 0:
            break
        step = (threshold - reached * factor) / slope
        t += step
        if step <= 1e-16 * (t + tau_s):
            break
    return min(t, peak)


@inner
def run_neuron(membrane, tau_s, threshold, now, d, p, q, s, v, i, count, found, slopes):
    """Return V, I and the number of spikes after an interval d from the time `now`."""
    leak, most = rate(membrane, tau_s), len(found)
    while True:
        t = -1.0
        if i > threshold * leak and count <= most:
            t = crossing(membrane, tau_s, threshold, v, i, d, p, s)
        if t < 0:
            return p * v + q * i, s * i, count
        count += 1
        if count > most:
            return p * v + q * i, s * i, count
        i *= math.exp(-t / tau_s)
        now, d = now + t, d - t
        v = 0.0
        found[count - 1], slopes[count - 1] = now, i - threshold * leak
        p, q, s = interval(membrane, tau_s, d)


@compiled
def forward(
    b, membrane, tau_s, threshold, window, times, sources, events, weight, found, slopes, counts
):
    """Compute the spikes of sample b.

    Args:
        membrane, tau_s, threshold, window: the constants.
        times, sources, events: of the inputs, ascending `[B, E]`, and their number `[B]`.
        weight: `[N, M]`.
        found: receives the times, inf on entry `[B, M, S]`.
        slopes: receives dV/dt at each spike `[B, M, S]`.
        counts: receives the number of spikes, S + 1 where one found no room, 0 on entry `[B, M]`.
    """
    neurons = weight.shape[1]
    v, i = np.zeros(neurons), np.zeros(neurons)
    later_v, later_i = np.zeros(neurons), np.zeros(neurons)
    now = times[b, 0] if events[b] else window
    for e in range(events[b] + 1):
        last = e == events[b] or times[b, e] >= window
        then = window if last else times[b, e]
        if then > now:
            d = then - now
            p, q, s = interval(membrane, tau_s, d)
            for j in range(neurons):
                later_v[j] = p * v[j] + q * i[j]
                later_i[j] = s * i[j]
            for j in range(neurons):
                # V grows by less than I d, from 0 if it was negative.
                if max(v[j], 0.0) + i[j] * d >= threshold:
                    later_v[j], later_i[j], counts[b, j] = run_neuron(
                        membrane, tau_s, threshold, now, d, p, q, s, v[j], i[j], counts[b, j],
                        found[b, j], slopes[b, j],
                    )  # fmt: skip
            v, i, later_v, later_i = later_v, later_i, v, i
            now = then
        if last:
            break
        row = weight[sources[b, e]]
        for j in range(neurons):
            i[j] += row[j]


@inner
def spike_factors(threshold, leak, least, grad, found, slopes, factors):
    """Write δ of each spike of a neuron, and return their number; 0 if all are 0.

        δ_m = e_m / V'(t_m)        e_m = ∂L/∂t_m + θ/τ Σ_{n>m} δ_n exp(-(t_n - t_m)/τ)

    A spike of a slope of at most `least` has δ = 0.
    """
    count = 0
    while count < len(found) and found[count] < np.inf:
        count += 1
    later, some = 0.0, False
    for m in range(count - 1, -1, -1):
        if m < count - 1:
            later *= math.exp(-(found[m + 1] - found[m]) * leak)
        factors[m] = 0.0
        if slopes[m] > least:
            factors[m] = (grad[m] + threshold * leak * later) / slopes[m]
        later += factors[m]
        some = some or factors[m] != 0
    return count if some else 0


@compiled
def backward(
    block, membrane, tau_s, threshold, times, sources, events, intervals, weight, grad, found,
    slopes, of_weight, of_times,
):  # fmt: skip
    """Add the gradients of a block of neurons, over all samples.

    The suffix sums over the spikes after an event at t_i, Z = Σ δ_m ε(t_m - t_i) and
    Y = Σ δ_m exp(-(t_m - t_i)/τ_s), give

        ∂L/∂w_i = -Z        ∂L/∂t_i = w_i (Y - Z/τ)

    Args:
        block: number of the block.
        membrane, tau_s, threshold: the constants.
        times, sources, events: as of `forward`.
        intervals: p, q, s from each event to the next one `[B, E, 3]`.
        weight: `[M, N]`.
        grad, found, slopes: of the spikes `[B, M, S]`.
        of_weight: `[M, N]`, zeros on entry.
        of_times: `[blocks, B, E]`, zeros on entry; without events if it is not needed.
    """
    leak = rate(membrane, tau_s)
    factors = np.zeros(found.shape[2])
    begin = block * NEURONS_A_BLOCK
    for j in range(begin, min(begin + NEURONS_A_BLOCK, len(weight))):
        for b in range(len(times)):
            m = -1 + spike_factors(
                threshold, leak, GRAZING * threshold / tau_s, grad[b, j], found[b, j],
                slopes[b, j], factors,
            )  # fmt: skip
            z, y = 0.0, 0.0
            for e in range(events[b] - 1 if m >= 0 else -1, -1, -1):
                if m >= 0 and found[b, j, m] > times[b, e]:
                    now = np.inf
                    if e + 1 < events[b]:
                        now = times[b, e + 1]
                    while m >= 0 and found[b, j, m] > times[b, e]:
                        spike = found[b, j, m]
                        if y != 0 or z != 0:
                            p, q, s = interval(membrane, tau_s, now - spike)
                            z, y = p * z + q * y, s * y
                        y += factors[m]
                        now = spike
                        m -= 1
                    p, q, s = interval(membrane, tau_s, now - times[b, e])
                else:
                    p, q, s = intervals[b, e, 0], intervals[b, e, 1], intervals[b, e, 2]
                z, y = p * z + q * y, s * y
                of_weight[j, sources[b, e]] -= z
                if of_times.shape[2]:
                    of_times[block, b, e] += weight[j, sources[b, e]] * (y - z * leak)
