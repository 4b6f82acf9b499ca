"""Descending thresholds: a value belongs to the slot of the first threshold that it exceeds.

K slots have K thresholds θ_1 > θ_2 > ... > θ_K, and slot i holds the values
θ_i < x <= θ_{i-1} (θ_0 = ∞).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Moments, at_least_float32

ThresholdRule = Literal["linear", "quantile"]
LAYER_NORM_EPS = 1e-5


class LinearThresholds:
    """θ_i = 1 - i/K on the pixels; an exact 0 belongs to no slot."""

    pointwise = True

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def table(self) -> Tensor:
        """Return θ_1 .. θ_K as float64 `[K]`."""
        return _descending(self.slots, torch.float64)

    def slot(self, x: Tensor) -> Tensor:
        """Return the slot 1..K of each value, 0 for none; same shape, int64."""
        return _slot(x, self.boundaries(x.dtype).to(x.device))

    def boundaries(self, dtype: torch.dtype) -> Tensor:
        """Return θ_K .. θ_1 `[K]`, the boundaries for pixels."""
        return _descending(self.slots, dtype).flip(0)

    def moments(self, x: Tensor) -> Moments | None:
        """Return None: the pixels are not standardised."""
        return None

    def value(self, slot: Tensor, dtype: torch.dtype, moments: Moments | None = None) -> Tensor:
        """Return the middle of each slot, (K - i + 1/2)/K, and 0 for slot 0."""
        middle = (self.slots - slot.double() + 0.5) / self.slots
        return torch.where(slot > 0, middle, torch.zeros_like(middle)).to(dtype)


class QuantileThresholds:
    """θ_i = σ(Φ⁻¹(1 - i/K)), θ_K = 0, on standardised images: normal data fills all slots equally.

    The image is normalised by a LayerNorm without parameters over all axes but the first. Since σ
    is strictly increasing, σ(z) > θ_i is equivalent to z > Φ⁻¹(1 - i/K); z is compared, because σ
    saturates and underflows. Every finite value has a slot.
    """

    pointwise = False  # mean and deviation are those of an image

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def table(self) -> Tensor:
        """Return θ_1 .. θ_K as float64 `[K]`."""
        return torch.sigmoid(self._normal_quantiles(_descending(self.slots, torch.float64)))

    def slot(self, x: Tensor) -> Tensor:
        """Return the slot 1..K of each value; same shape, int64."""
        z = self._standardise(x)
        return _slot(z, self.boundaries(z.dtype).to(z.device))

    def boundaries(self, dtype: torch.dtype) -> Tensor:
        """Return σ⁻¹(θ_K) .. σ⁻¹(θ_1) `[K]`, the boundaries for standardised pixels."""
        return self._normal_quantiles(_descending(self.slots, torch.float64)).flip(0).to(dtype)

    def moments(self, x: Tensor) -> Moments | None:
        """Return mean and standard deviation of each image `[B, ...]`, shaped `[B, 1, ...]`."""
        flat = at_least_float32(x).reshape(len(x), x[0].numel() if len(x) else 1)
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
        """Return the distance of each standardised pixel from the nearest threshold, like `x`."""
        z = self._standardise(x)
        boundaries = self.boundaries(z.dtype).to(z.device)
        above = torch.bucketize(z, boundaries).clamp(max=len(boundaries) - 1)
        to_above, to_below = boundaries[above] - z, z - boundaries[(above - 1).clamp(min=0)]
        return torch.minimum(to_above.abs(), to_below.abs())

    def _standardise(self, x: Tensor) -> Tensor:
        x = at_least_float32(x)
        if x.dim() == 1:  # an image of one value equals its mean
            return torch.zeros_like(x)
        return torch.nn.functional.layer_norm(x, x.shape[1:], eps=LAYER_NORM_EPS)

    @staticmethod
    def _normal_quantiles(p: Tensor) -> Tensor:
        return torch.special.ndtri(p)


def create_thresholds(rule: ThresholdRule, slots: int) -> LinearThresholds | QuantileThresholds:
    """Return the thresholds of `slots` slots by the name of their rule.

    Raises:
        ConfigError: the rule is unknown.
    """
    if rule == "linear":
        return LinearThresholds(slots)
    if rule == "quantile":
        return QuantileThresholds(slots)
    raise ConfigError(f"unknown thresholds {rule!r}", why="choose from linear, quantile")


def _descending(slots: int, dtype: torch.dtype, device: torch.device | str | None = None) -> Tensor:
    """Return (K-1)/K, ..., 1/K, 0, each rounded once, so that equal fractions are equal floats."""
    counting = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    counts = torch.arange(slots - 1, -1, -1, dtype=counting, device=device)
    return (counts / slots).to(dtype)


def _slot(x: Tensor, boundaries: Tensor) -> Tensor:
    """Return K + 1 - (number of thresholds below x), 0 if there is none."""
    below = torch.bucketize(x.contiguous(), boundaries)
    return torch.where(below > 0, boundaries.numel() + 1 - below, torch.zeros_like(below))
