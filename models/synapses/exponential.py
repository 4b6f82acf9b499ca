"""Exponential synapses of first and second order."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...core.errors import ConfigError
from .base import PoleSynapse


class Exp(PoleSynapse):
    """F_t = p F_{t-1} + s_t, p = σ(logit) for each channel, so that it stays in (0, 1).

    Args:
        channels: C.
        steps: ignored.
        tau: of the start value p = e^{-1/τ}, in steps.
        learn: make p a parameter.

    Raises:
        ConfigError: `tau` is not positive.
    """

    def __init__(self, channels: int, *, steps: int, tau: float = 4.0, learn: bool = True) -> None:
        super().__init__(channels, steps=steps)
        self.logit = nn.Parameter(logits(channels, tau), requires_grad=learn)

    @property
    def poles(self) -> Tensor:
        """p, `[1, C]`."""
        return self.logit.sigmoid().unsqueeze(0)


class DualExp(PoleSynapse):
    """F_t = (p + q) F_{t-1} - p q F_{t-2} + (p - q) s_t, whose response rises and falls.

    p = σ(logit) and q = p σ(ratio) for each channel: both stay in (0, 1), and q below p, where the
    gain p - q is not 0.

    Args:
        channels: C.
        steps: ignored.
        tau: of the start value p = e^{-1/τ}, in steps.
        tau_rise: of the start value q = e^{-1/τ_rise}, less than `tau`.
        learn: make p and q parameters.

    Raises:
        ConfigError: a time constant that is not positive, or `tau_rise` not less than `tau`.

    Source: arXiv 2003.02944.
    """

    def __init__(
        self,
        channels: int,
        *,
        steps: int,
        tau: float = 4.0,
        tau_rise: float = 1.0,
        learn: bool = True,
    ) -> None:
        super().__init__(channels, steps=steps)
        if not 0 < tau_rise < tau:
            raise ConfigError(
                f"tau_rise is {tau_rise}, tau {tau}", why="it must be above 0 and below tau"
            )
        self.logit = nn.Parameter(logits(channels, tau), requires_grad=learn)
        share = math.exp(-1 / tau_rise + 1 / tau)  # q / p
        start = torch.full((channels,), math.log(share / (1 - share)))
        self.ratio = nn.Parameter(start, requires_grad=learn)

    @property
    def poles(self) -> Tensor:
        """q and p, `[2, C]`."""
        slow = self.logit.sigmoid()
        return torch.stack([slow * self.ratio.sigmoid(), slow])

    @property
    def gain(self) -> Tensor:
        """p - q, `[C]`."""
        fast, slow = self.poles
        return slow - fast


def logits(channels: int, tau: float) -> Tensor:
    """Return the logits of p = e^{-1/τ}, `[C]`.

    Raises:
        ConfigError: τ is not positive and finite.
    """
    if not 0 < tau < math.inf:
        raise ConfigError(f"tau is {tau}", why="a time constant is above 0 and finite")
    # logit(e^{-1/τ}) = -log(e^{1/τ} - 1), without the difference of nearly equal numbers.
    return torch.full((channels,), -math.log(math.expm1(1 / tau)))
