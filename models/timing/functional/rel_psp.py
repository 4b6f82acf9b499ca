"""One spike where the sum of ramps crosses the threshold: the reference, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..spike_times import Events, SpikeTimes


def rel_psp(times: Tensor, weight: Tensor, *, threshold: float = 1.0, window: float) -> Tensor:
    """Return when each neuron fires, `[B, M]`; +inf if it does not before the end of the window.

    Each input opens a ramp, and the neuron fires once, when their sum first exceeds θ:

        V_j(t) = Σ_{t_i < t} w_ji (t - t_i) = S_k t - M_k    for t_k < t <= t_{k+1}
        S_k = Σ_{m <= k} w_m,    M_k = Σ_{m <= k} w_m t_m
        t_j = (θ + M_k) / S_k    of the first k with S_k t_{k+1} - M_k > θ

    with the inputs in the order of time, and the end of the window behind the last. With C the
    inputs up to k, the gradients are those of this expression:

        ∂t_j/∂w_ji = (t_i - t_j) / S_k,    ∂t_j/∂t_i = w_ji / S_k    of i in C, 0 of the others

    Autograd computes them; memory grows with B · M · N.

    Args:
        times: of the inputs, `[B, N]` or `[B, N, S]`; +inf for no spike.
        weight: `[M, N]`.
        threshold: θ.
        window: end of the time in which inputs count and neurons fire.

    Source: arXiv 2003.11837.
    """
    times = times if times.dim() == 3 else times.unsqueeze(-1)
    t, source, opens = events_within(times, window)
    # Gathered first: no difference of two infinite times is ever formed.
    t = torch.where(opens, t, window)
    if not t.shape[1]:
        return weight.new_full((len(times), len(weight)), float("inf")) + 0 * weight.sum() + t.sum()
    w = weight.t()[source].movedim(-1, 1) * opens.unsqueeze(1)  # [B, M, E]
    slope = w.cumsum(2)
    moment = (w * t.unsqueeze(1)).cumsum(2)
    until = torch.cat([t[:, 1:], torch.full_like(t[:, :1], window)], 1)
    # Simultaneous inputs count together: an interval without length is none.
    crosses = (slope * until.unsqueeze(1) - moment > threshold) & (until > t).unsqueeze(1)
    fires, k = crosses.any(2), crosses.int().argmax(2, keepdim=True)
    slope, moment = slope.gather(2, k).squeeze(2), moment.gather(2, k).squeeze(2)
    crossing = (threshold + moment) / torch.where(fires, slope, 1)
    return torch.where(fires, crossing, float("inf"))


def events_within(times: Tensor, window: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs in the order of time, their sources, and which are before the end of the
    window, each `[B, E]`; gradients flow through the times."""
    found: Events = SpikeTimes(times).events()
    t = times.flatten(1).gather(1, found.place)
    return t, found.source, found.times < window
