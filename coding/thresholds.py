"""Falling thresholds: every value belongs to the slot of the first one that it passes.

K slots have K thresholds θ_1 > θ_2 > ... > θ_K, and slot i holds the values
θ_i < x <= θ_{i-1} (θ_0 = ∞).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Moments, wide

ThresholdRule = Literal["linear", "quantile"]
LAYER_NORM_EPS = 1e-5


class LinearThresholds:
    """θ_i = 1 - i/K on the pixels as they are; an exact 0 belongs to no slot."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def table(self) -> Tensor:
        """Return θ_1 .. θ_K as float64 `[K]`."""
        return _falling(self.slots, torch.float64)

    def slot(self, x: Tensor) -> Tensor:
        """Return each value's slot 1..K, or 0 where it is in none; same shape, int64."""
        return _slot(x, self.rising(x.dtype).to(x.device))

    def rising(self, dtype: torch.dtype) -> Tensor:
        """Return θ_K .. θ_1 `[K]`, what pixels are compared with."""
        return _falling(self.slots, dtype).flip(0)

    def moments(self, x: Tensor) -> Moments | None:
        """Return None: the pixels are not standardised."""
        return None

    def value(self, slot: Tensor, dtype: torch.dtype, moments: Moments | None = None) -> Tensor:
        """Return the middle of each slot, (K - i + 1/2)/K, and 0 for slot 0."""
        middle = (self.slots - slot.double() + 0.5) / self.slots
        return torch.where(slot > 0, middle, torch.zeros_like(middle)).to(dtype)


class QuantileThresholds:
    """θ_i = σ(Φ⁻¹(1 - i/K)), θ_K = 0, on standardised images: normal data fills slots equally.

    The image goes through a LayerNorm without learned parameters over all axes but the first,
    then σ. Because σ rises strictly, σ(z) > θ_i is the same as z > Φ⁻¹(1 - i/K); the comparison
    is made on z, so that it is exact where σ would saturate or underflow, and every finite
    value has a slot.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def table(self) -> Tensor:
        """Return θ_1 .. θ_K as float64 `[K]`."""
        return torch.sigmoid(self._normal_quantiles(_falling(self.slots, torch.float64)))

    def slot(self, x: Tensor) -> Tensor:
        """Return each value's slot 1..K; same shape, int64."""
        z = self._standardise(x)
        return _slot(z, self.rising(z.dtype).to(z.device))

    def rising(self, dtype: torch.dtype) -> Tensor:
        """Return σ⁻¹(θ_K) .. σ⁻¹(θ_1) `[K]`, what standardised pixels are compared with."""
        return self._normal_quantiles(_falling(self.slots, torch.float64)).flip(0).to(dtype)

    def moments(self, x: Tensor) -> Moments | None:
        """Return mean and deviation of each image `[B, ...]`, shaped `[B, 1, ...]`."""
        flat = wide(x).reshape(len(x), x[0].numel() if len(x) else 1)
        mean = flat.mean(1)
        variance = (flat - mean.unsqueeze(1)).square().mean(1)
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return mean.view(shape), (variance + LAYER_NORM_EPS).sqrt().view(shape)

    def value(self, slot: Tensor, dtype: torch.dtype, moments: Moments | None = None) -> Tensor:
        """Return the median of each slot, Φ⁻¹(1 - (i - 1/2)/K), scaled back by `moments`."""
        z = self._normal_quantiles((self.slots - slot.double() + 0.5) / self.slots)
        z = torch.where(slot > 0, z, torch.zeros_like(z))
        if moments is not None:
            mean, deviation = moments
            z = z * deviation.to(z) + mean.to(z)
        return z.to(dtype)

    def distance(self, x: Tensor) -> Tensor:
        """Return how far each standardised pixel is from the nearest threshold, like `x`."""
        z = self._standardise(x)
        rising = self.rising(z.dtype).to(z.device)
        above = torch.bucketize(z, rising).clamp(max=len(rising) - 1)
        to_above, to_below = rising[above] - z, z - rising[(above - 1).clamp(min=0)]
        return torch.minimum(to_above.abs(), to_below.abs())

    def _standardise(self, x: Tensor) -> Tensor:
        x = wide(x)
        if x.dim() == 1:  # one value an image: it equals its mean
            return torch.zeros_like(x)
        return torch.nn.functional.layer_norm(x, x.shape[1:], eps=LAYER_NORM_EPS)

    @staticmethod
    def _normal_quantiles(p: Tensor) -> Tensor:
        return torch.special.ndtri(p)


def create_thresholds(rule: ThresholdRule, slots: int) -> LinearThresholds | QuantileThresholds:
    """Return the thresholds of `slots` slots under a rule.

    Raises:
        ConfigError: the rule is not known.
    """
    if rule == "linear":
        return LinearThresholds(slots)
    if rule == "quantile":
        return QuantileThresholds(slots)
    raise ConfigError(f"unknown thresholds {rule!r}", why="choose from linear, quantile")


def _falling(slots: int, dtype: torch.dtype, device: torch.device | str | None = None) -> Tensor:
    """Return (K-1)/K, ..., 1/K, 0, each rounded once, so that equal fractions compare equal."""
    wide = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    counts = torch.arange(slots - 1, -1, -1, dtype=wide, device=device)
    return (counts / slots).to(dtype)


def _slot(x: Tensor, rising: Tensor) -> Tensor:
    """Return K + 1 - (number of thresholds below x), and 0 where there is none."""
    below = torch.bucketize(x.contiguous(), rising)
    return torch.where(below > 0, rising.numel() + 1 - below, torch.zeros_like(below))
