"""Neurons of many exact spike times on the CPU, forward and backward, compiled by numba.

Forward, one sample is a block: its events pass in time, and the states of all neurons stay in the
first cache. Backward, a group of neurons is a block, with its own sums over the samples, so that the
result does not depend on the number of threads.

Between two events the state (V, I) is multiplied by one matrix, [[p, q], [0, s]] for an interval d:

    V ← p V + q I        p = exp(-d/τ), or 1 for the integrator
    I ← s I              s = exp(-d/τ_s)        q = ε(d), the response to a unit jump of I

The sums of the backward pass move with the same matrix from a spike to the events before it.
"""

# numba infers the types.
# pyright: reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import math

import numpy as np
from numba import carray  # pyright: ignore

from ..simd import compiled, fetch_and_add, pointer, struct_at

DOUBLE, INTEGRATOR, EQUAL = 0, 1, 2  # membranes: τ = 2 τ_s, τ = ∞, τ = τ_s
NEURONS_A_BLOCK = 32  # of the backward pass
NEWTON_STEPS = 200  # it converges quadratically, and by halves where the peak touches the threshold
GRAZING = 1e-6  # spikes of a slope below GRAZING θ/τ_s have no gradient

# Layouts of the kernel argument structs. Addresses are int64, of float64 unless said otherwise.
COMMON = [
    ("next_block", np.int64),  # counter that the threads share
    ("blocks", np.int64),
    ("samples", np.int64),
    ("inputs", np.int64),
    ("neurons", np.int64),
    ("spikes", np.int64),  # S, the most of a neuron
    ("membrane", np.int64),
    ("tau_s", np.float64),
    ("threshold", np.float64),
    ("window", np.float64),
    ("offsets", np.int64),  # int64 [samples + 1]: the events of each sample
    ("times", np.int64),  # [events], ascending within a sample
    ("sources", np.int64),  # int64 [events]: the input that fired
    ("found", np.int64),  # [samples, neurons, spikes], inf behind the last spike
    ("slopes", np.int64),  # dV/dt at each spike, the same shape
]
FORWARD = np.dtype(
    [
        *COMMON,
        ("weight", np.int64),  # [inputs, neurons]
        ("state", np.int64),  # scratch [samples, 2, neurons]
        ("counts", np.int64),  # int64 [samples, neurons]; S + 1 where a spike found no room
    ]
)
BACKWARD = np.dtype(
    [
        *COMMON,
        ("weight", np.int64),  # [neurons, inputs]
        ("grad", np.int64),  # of the spike times [samples, neurons, spikes]
        ("scratch", np.int64),  # [blocks, spikes]
        ("of_weight", np.int64),  # [neurons, inputs], zeros on entry
        ("of_times", np.int64),  # [blocks, events], zeros on entry, or 0
        ("intervals", np.int64),  # [events, 3]: p, q, s from each event to the next of its sample
    ]
)


@compiled
def interval(membrane, tau_s, d):
    """Return p, q, s of an interval d >= 0."""
    if membrane == DOUBLE:
        p = math.exp(-0.5 * d / tau_s)
        return p, -2 * tau_s * p * math.expm1(-0.5 * d / tau_s), p * p
    s = math.exp(-d / tau_s)
    if membrane == INTEGRATOR:
        return 1.0, -tau_s * math.expm1(-d / tau_s), s
    return s, d * s, s


@compiled
def rate(membrane, tau_s):
    """Return 1/τ."""
    if membrane == DOUBLE:
        return 0.5 / tau_s
    return 0.0 if membrane == INTEGRATOR else 1 / tau_s


@compiled
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


@compiled
def run_neuron(args, now, d, p, q, s, v, i, count, found, slopes):
    """Return V, I and the number of spikes after an interval d from the time `now`."""
    leak = rate(args.membrane, args.tau_s)
    while True:
        t = -1.0
        if i > args.threshold * leak and count <= args.spikes:
            t = crossing(args.membrane, args.tau_s, args.threshold, v, i, d, p, s)
        if t < 0:
            return p * v + q * i, s * i, count
        count += 1
        if count > args.spikes:
            return p * v + q * i, s * i, count
        i *= math.exp(-t / args.tau_s)
        now, d = now + t, d - t
        v = 0.0
        found[count - 1], slopes[count - 1] = now, i - args.threshold * leak
        p, q, s = interval(args.membrane, args.tau_s, d)


@compiled
def forward_blocks(address):
    """Compute sample after sample until none is left."""
    args = struct_at(address, FORWARD, 0)
    samples, neurons = args.samples, args.neurons
    offsets = carray(pointer(args.offsets), (samples + 1,), np.int64)
    events = offsets[samples]
    times = carray(pointer(args.times), (events,), np.float64)
    sources = carray(pointer(args.sources), (events,), np.int64)
    weight = carray(pointer(args.weight), (args.inputs, neurons), np.float64)
    all_found = carray(pointer(args.found), (samples, neurons, args.spikes), np.float64)
    all_slopes = carray(pointer(args.slopes), (samples, neurons, args.spikes), np.float64)
    states = carray(pointer(args.state), (samples, 2, neurons), np.float64)
    all_counts = carray(pointer(args.counts), (samples, neurons), np.int64)
    lowest = args.threshold * rate(args.membrane, args.tau_s)
    while True:
        b = fetch_and_add(args, "next_block", 1)
        if b >= args.blocks:
            return
        v, i, counts = states[b, 0], states[b, 1], all_counts[b]
        v[:], i[:], counts[:] = 0, 0, 0
        now = 0.0
        for e in range(offsets[b], offsets[b + 1] + 1):
            last = e == offsets[b + 1]
            then = args.window if last else min(times[e], args.window)
            if then > now:
                d = then - now
                p, q, s = interval(args.membrane, args.tau_s, d)
                for j in range(neurons):
                    if i[j] > lowest:
                        v[j], i[j], counts[j] = run_neuron(
                            args, now, d, p, q, s, v[j], i[j], counts[j],
                            all_found[b, j], all_slopes[b, j],
                        )  # fmt: skip
                    else:
                        v[j] = p * v[j] + q * i[j]
                        i[j] = s * i[j]
                now = then
            if last or times[e] >= args.window:
                break
            if e == offsets[b]:
                now = times[e]
            row = weight[sources[e]]
            for j in range(neurons):
                i[j] += row[j]


@compiled
def backward_neuron(args, leak, j, grad, found, slopes, lasting, begin, events, of_times):
    """Add the gradients of neuron j of a sample to those of its weights and input times.

    With δ_m = e_m / V'(t_m) and e_m = ∂L/∂t_m + θ/τ Σ_{n>m} δ_n exp(-(t_n - t_m)/τ), the suffix sums
    over the spikes behind an event at t, Z = Σ δ_m ε(t_m - t) and Y = Σ δ_m exp(-(t_m - t)/τ_s), give

        ∂L/∂w = -Z        ∂L/∂t = w (Y - Z/τ)
    """
    times, sources, intervals, weight, of_weight = events
    count = 0
    while count < args.spikes and found[count] < np.inf:
        count += 1
    own, has_grad = 0.0, False
    for m in range(count - 1, -1, -1):
        if m < count - 1:
            own *= math.exp(-(found[m + 1] - found[m]) * leak)
        lasting[m] = 0.0
        if slopes[m] > GRAZING * args.threshold / args.tau_s:
            lasting[m] = (grad[m] + args.threshold * leak * own) / slopes[m]
        own += lasting[m]
        has_grad = has_grad or lasting[m] != 0
    if not has_grad:
        return
    z, y, m = 0.0, 0.0, count - 1
    for e in range(len(times) - 1, -1, -1):
        if times[e] >= found[m] and y == 0:
            continue  # no spike behind it yet
        now = times[e + 1] if e + 1 < len(times) else np.inf
        if m < 0 or found[m] <= times[e]:
            p, q, s = intervals[e, 0], intervals[e, 1], intervals[e, 2]
            z, y = p * z + q * y, s * y
        else:
            while m >= 0 and found[m] > times[e]:
                if y != 0:
                    p, q, s = interval(args.membrane, args.tau_s, now - found[m])
                    z, y = p * z + q * y, s * y
                y += lasting[m]
                now = found[m]
                m -= 1
            p, q, s = interval(args.membrane, args.tau_s, now - times[e])
            z, y = p * z + q * y, s * y
        of_weight[j, sources[e]] -= z
        if args.of_times != 0:
            of_times[begin + e] += weight[j, sources[e]] * (y - z * leak)
