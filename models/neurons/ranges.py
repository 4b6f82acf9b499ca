"""The range of an ANN's activations, by which the amplitude of spikes is calibrated."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...core.registry import unknown

RangeRule = Literal["mse", "max", "quantile"]
RULES = ("mse", "max", "quantile")
QUANTILE = 0.999
# Candidates of `mse` as parts of the maximum: 1, 0.99, ..., 0.06.
CANDIDATES = [(100 - i) / 100 for i in range(95)]
CHUNK = 1 << 20  # values whose errors are computed at once


@torch.no_grad()
def activation_range(
    activations: Tensor, rule: str, *, levels: int, fraction: float = 1.0
) -> Tensor:
    """Return the range R of activations a ≥ 0, `[..., N] -> [...]`.

        max         max a
        quantile    the smallest a that at least 99.9 % of the values do not exceed
        mse         argmin over R ∈ {1, 0.99, ..., 0.06} max a of Σ (a - q(a))²,
                    q(a) = ⌊clip(a n / R + 1 - α, 0, n)⌋ R / n

    n is the number of values above 0 that a neuron's mean output can have: with m spikes a step
    and T steps, n = m T. Where all activations are 0, R is 0.

    Args:
        activations: values; the last axis is reduced.
        rule: `mse`, `max` or `quantile`.
        levels: n, of `mse`.
        fraction: α, of `mse`: 1 rounds down, 1/2 to the nearest.

    Raises:
        ConfigError: the rule is unknown.

    Source: the candidates and, with n = T and α = 1, the error are those of Chen et al.,
    arXiv 2305.16594 (github.com/xychen-comp/Hybrid-Coding-SNN).
    """
    if rule not in RULES:
        raise unknown("rule of calibration", rule, list(RULES))
    if rule == "quantile":
        count = activations.shape[-1]
        rank = max(1, -int(-QUANTILE * count // 1))  # ⌈0.999 N⌉, from 1
        return activations.kthvalue(rank, dim=-1).values
    top = activations.amax(-1)
    if rule == "max":
        return top
    candidates = torch.tensor(CANDIDATES, dtype=torch.float64, device=top.device)
    errors = torch.stack(
        [_error(activations, part * top, levels, fraction) for part in CANDIDATES], -1
    )
    return (candidates[errors.argmin(-1)] * top).to(top.dtype)


def require_channels(limit: Tensor, amplitude: Tensor) -> None:
    """Refuse greatest activations of channels for an amplitude of the layer.

    Raises:
        ConfigError: with what to do.
    """
    if limit.dim() > amplitude.dim():
        raise ConfigError(
            "the ANN has a greatest activation of each channel, the neuron one amplitude",
            why="an amplitude of the layer cannot be that of all channels",
            remedy="set neuron.granularity=channel",
        )


@torch.no_grad()
def range_of_layer(
    activations: Tensor, rule: str, *, levels: int, fraction: float, by_channel: bool
) -> Tensor | None:
    """Return the range of the activations `[T, B, C, ...]` of a layer: a scalar, or `[C]`.

    Where all activations of a channel are 0, its range is that of the layer; None if all are 0.

    Args:
        activations: values a ≥ 0.
        rule, levels, fraction: as of `activation_range`.
        by_channel: return that of each channel.
    """

    def found(values: Tensor) -> Tensor:
        return activation_range(values, rule, levels=levels, fraction=fraction)

    of_layer = found(activations.flatten())
    if not of_layer > 0:
        return None
    if not by_channel:
        return of_layer
    of_channels = found(activations.movedim(2, 0).flatten(1))
    return torch.where(of_channels > 0, of_channels, of_layer)


def _error(activations: Tensor, limit: Tensor, levels: int, fraction: float) -> Tensor:
    """Return Σ (a - q(a))² for ranges `limit` `[...]` of activations `[..., N]`."""
    step = (limit / levels).unsqueeze(-1)
    safe = step.clamp(min=torch.finfo(step.dtype).tiny)  # where all activations are 0
    total = torch.zeros(limit.shape, dtype=torch.float64, device=limit.device)
    for part in activations.split(CHUNK, -1):
        quantised = (part / safe + (1 - fraction)).clamp_(0, levels).floor_() * step
        total += (part - quantised).square_().sum(-1, dtype=torch.float64)
    return total
