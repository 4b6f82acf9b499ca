"""Recursive filters over time, as pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def exp_filter(x: Tensor, pole: Tensor) -> Tensor:
    """Return F_t = p F_{t-1} + x_t, from rest: `scipy.signal.lfilter([1], [1, -p], x, axis=0)`.

    Args:
        x: `[T, B, C, ...]`.
        pole: p, `[C]` or a scalar, below 1 in magnitude.
    """
    p = per_channel(pole, x)
    state, filtered = None, []
    for x_t in x.unbind(0):
        state = x_t if state is None else p * state + x_t
        filtered.append(state)
    return torch.stack(filtered) if filtered else x


def pole_filter(x: Tensor, poles: Tensor, gain: Tensor | None = None) -> Tensor:
    """Return one exponential filter after the other, of gain · x.

    With the poles q and p and the gain p - q it is F_t = (p + q) F_{t-1} - p q F_{t-2} +
    (p - q) x_t, whose impulse response p^{n+1} - q^{n+1} rises and falls.

    Args:
        x: `[T, B, C, ...]`.
        poles: `[P, C]`, below 1 in magnitude.
        gain: `[C]`; None for 1.

    Source: arXiv 2003.02944, equation 9.
    """
    y = x if gain is None else per_channel(gain, x) * x
    for pole in poles:
        y = exp_filter(y, pole)
    return y


def per_channel(values: Tensor, x: Tensor) -> Tensor:
    """Return values `[C]` in a shape that broadcasts against `[B, C, ...]` of `[T, B, C, ...]`."""
    return values.view(-1, *[1] * (x.dim() - 3)) if values.dim() else values
