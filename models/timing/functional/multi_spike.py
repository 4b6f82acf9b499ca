"""Leaky integrate-and-fire neurons of many exact spike times, in plain torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..spike_times import SpikeTimes

Membrane = Literal["double", "integrator", "equal"]

# The kernels know a membrane by its place here.
MEMBRANES: tuple[Membrane, ...] = ("double", "integrator", "equal")
NEWTON_STEPS = 200


@dataclass(frozen=True)
class MultiSpikeOptions:
    """The constants of neurons of many spikes.

    Attributes:
        membrane: `double`, τ = 2 τ_s; `integrator`, τ = ∞; `equal`, τ = τ_s.
        tau_s: time constant of the synapses.
        threshold: θ.
        window: the time after which a neuron fires no more.
        most: S, the spikes of a neuron at most; one that would fire again stays silent.
    """

    membrane: Membrane
    tau_s: float
    threshold: float
    window: float
    most: int

    @property
    def tau(self) -> float:
        """The time constant τ of the membrane; infinity of an integrator."""
        return self.tau_s * {"double": 2.0, "integrator": math.inf, "equal": 1.0}[self.membrane]

    @property
    def rheobase(self) -> float:
        """θ/τ, the least current that lets the membrane rise at the threshold."""
        return self.threshold / self.tau


def multi_spike(times: Tensor, weight: Tensor, options: MultiSpikeOptions) -> tuple[Tensor, Tensor]:
    """Return the spike times of neurons, and how many spikes of each found no room.

    With input spikes at t_i of weights w_i and own spikes at t_k, from V = I = 0,

        V' = -V/τ + I        I(t) = Σ_{t_i<t} w_i exp(-(t - t_i)/τ_s)        V(t_k) = θ, then V = 0

    After each event the membrane is a difference of exponentials; its first crossing of θ before
    the next event is a root of u = exp(-t/τ) in

        double      V/τ = b u - I u²             u = (b + sqrt(b² - 4 I θ/τ)) / (2 I), b = V/τ + I
        integrator  V + τ_s I (1 - u_s) = θ      u_s = exp(-t/τ_s) = 1 - (θ - V)/(τ_s I)
        equal       (V + I t) u = θ              by Newton's method (-W of Lambert)

    Autograd differentiates these steps; `asnn.models.timing.multi_spike` has the derivative in
    closed form. Simultaneous inputs are one event.

    Args:
        times: `[B, N, S_in]`, ascending, +inf behind the last.
        weight: `[M, N]`.
        options: the constants.

    Returns:
        The times `[B, M, S]`, +inf behind the last, and 0 or 1 `[B, M]`.

    Source: the closed forms of Göltz et al., arXiv 1912.11443, for many spikes as in Bacho and Chu,
    arXiv 2211.16113.
    """
    batch, neurons = len(times), len(weight)
    events = SpikeTimes(times).events()
    moments = times.flatten(1).gather(1, events.place)
    moments = torch.where(events.times < options.window, moments, options.window)
    v, i = times.new_zeros(batch, neurons), times.new_zeros(batch, neurons)
    count = torch.zeros(batch, neurons, dtype=torch.long, device=times.device)
    lost = torch.zeros_like(count)
    places, values = [], []
    now = moments[:, 0] if moments.shape[1] else times.new_full((batch,), options.window)
    now = now.unsqueeze(1).expand(batch, neurons)
    for e in range(moments.shape[1] + 1):
        at_end = e == moments.shape[1]
        then = moments[:, e] if not at_end else moments.new_full((batch,), options.window)
        then = then.unsqueeze(1).expand(batch, neurons)
        while True:
            fires, wait = crossing(v, i, then - now, options)
            fires &= lost == 0
            full = fires & (count == options.most)
            lost, fires = lost + full.long(), fires & ~full
            if not fires.any():
                break
            current = i * torch.exp(-wait / options.tau_s)
            now = torch.where(fires, now + wait, now)
            places.append(torch.stack([*fires.nonzero(as_tuple=True), count[fires]]))
            values.append(now[fires])
            v, i = v.masked_fill(fires, 0.0), torch.where(fires, current, i)
            count = count + fires.long()
        v, i = advance(v, i, then - now, options)
        now = then
        if not at_end:
            arrived = (moments[:, e] < options.window).unsqueeze(1)
            i = i + torch.where(arrived, weight.t()[events.source[:, e]], 0.0)
    # The sum of zeros keeps the graph where nothing fires.
    found = times.new_full((batch, neurons, options.most), math.inf) + 0 * weight.sum()
    if places:
        found = found.index_put(tuple(torch.cat(places, 1)), torch.cat(values))
    return found, lost


def advance(v: Tensor, i: Tensor, d: Tensor, options: MultiSpikeOptions) -> tuple[Tensor, Tensor]:
    """Return V and I after an interval d without spikes."""
    return (
        v * torch.exp(-d / options.tau) + i * response(d, options),
        i * torch.exp(-d / options.tau_s),
    )


def response(d: Tensor, options: MultiSpikeOptions) -> Tensor:
    """Return ε(d), the membrane at a time d >= 0 after an input of weight 1."""
    tau, tau_s = options.tau, options.tau_s
    if options.membrane == "equal":
        return d * torch.exp(-d / tau)
    if options.membrane == "integrator":
        return -tau_s * torch.expm1(-d / tau_s)
    return -tau * torch.exp(-d / tau) * torch.expm1(-d / tau)


def crossing(v: Tensor, i: Tensor, d: Tensor, options: MultiSpikeOptions) -> tuple[Tensor, Tensor]:
    """Return which membranes reach θ within an interval d, and after which time.

    The time of the others is 0.
    """
    tau, tau_s, theta = options.tau, options.tau_s, options.threshold
    rises = (i > options.rheobase) & (d > 0)
    current = torch.where(rises, i, 1.0)
    if options.membrane == "double":
        b, c = v / tau + current, theta / tau
        square = b * b - 4 * current * c
        rises = rises & (square > 0)
        u = (b + torch.where(rises, square, 1.0).sqrt()) / (2 * current)
        wait = -tau * torch.where(rises & (u < 1), u, 1.0).log()
        rises = rises & (u < 1)
    elif options.membrane == "integrator":
        u = 1 - (theta - v) / (tau_s * current)
        rises = rises & (u > 0)
        wait = -tau_s * torch.where(rises, u, 1.0).log()
    else:
        rises, wait = _equal_crossing(v, current, rises, options)
    # By rounding a crossing at the border of two intervals may be in neither of them.
    late = (v >= theta) & (d > 0) & (i > options.rheobase)
    fires = (rises & (wait <= d)) | late
    return fires, torch.where(fires & ~late, wait, 0.0)


def _equal_crossing(
    v: Tensor, i: Tensor, rises: Tensor, options: MultiSpikeOptions
) -> tuple[Tensor, Tensor]:
    """Return which membranes of τ = τ_s reach θ, and when; the others at 0."""
    tau, theta = options.tau_s, options.threshold
    peak = tau - v / i
    rises = rises & (peak > 0) & ((v + i * peak) * torch.exp(-peak / tau) >= theta)
    with torch.no_grad():
        wait = torch.zeros_like(v)
        # Up to its peak V is concave: Newton's method comes from the left, not past the root.
        for _ in range(NEWTON_STEPS):
            decay = torch.exp(-wait / tau)
            slope = (i - (v + i * wait) / tau) * decay
            step = (theta - (v + i * wait) * decay) / torch.where(rises & (slope > 0), slope, 1.0)
            step = torch.where(rises & (slope > 0), step, 0.0)
            wait = torch.minimum(wait + step, torch.where(rises, peak, 0.0))
            if not (step > 1e-16 * (wait + tau)).any():
                break
        decay = torch.exp(-wait / tau)
        slope = (i - (v + i * wait) / tau) * decay
        slope = torch.where(rises & (slope > 0), slope, math.inf)
    # The value of the next line is `wait`, its derivative that of the root: -dV / V'.
    return rises, wait + (theta - (v + i * wait) * decay) / slope
