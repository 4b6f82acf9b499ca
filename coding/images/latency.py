"""The latency code: the time to the first spike of an integrator with the value as input."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, at_least_float32, check_images


class Latency(Coding):
    """One spike at t = τ ln(x / (x - θ)), or with `linear` at t = τ (1 - x), rounded.

    Values at or below θ fire last (with `clip` not at all). `normalize` moves the latest possible
    spike to the last step: τ becomes (T - 1) / ln((θ + ε)/ε), or T - 1 with `linear`.
    `snntorch.spikegen.latency` normalises by the latest spike in the batch; the two agree on every
    batch with a value at or below θ, and here a sample's code does not depend on the other samples
    of the batch. Without `normalize`, spikes after the last step are lost.

    Args:
        steps: number of time steps T.
        tau: time constant in steps.
        threshold: θ, in (0, 1).
        linear: linear instead of logarithmic times.
        normalize: spread the spikes over all T steps.
        clip: values below θ never fire.

    Raises:
        ConfigError: an option out of range.
    """

    name = "latency"
    pointwise = True
    epsilon = 1e-7

    def __init__(
        self,
        *,
        steps: int,
        tau: float = 1.0,
        threshold: float = 0.01,
        linear: bool = False,
        normalize: bool = True,
        clip: bool = False,
    ) -> None:
        super().__init__(steps=steps)
        if not 0 < threshold < 1:
            raise ConfigError(f"threshold must be between 0 and 1, not {threshold}")
        if not tau > 0:
            raise ConfigError(f"tau must be above 0, not {tau}")
        self.tau = tau
        self.threshold = threshold
        self.linear = linear
        self.normalize = normalize
        self.clip = clip

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        # In half precision θ + ε rounds to θ, and `_charge_time` would divide by 0.
        values = at_least_float32(x)
        time = (self._linear_time(values) if self.linear else self._log_time(values)).round()
        t = torch.arange(self.steps, device=x.device).view(-1, *[1] * x.dim())
        spikes = time == t
        if self.clip:
            spikes = spikes & ~(values < self.threshold)
        return spikes.to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the value whose spike time is that of the first spike; 0 without a spike."""
        fired, time = code.max(dim=0)
        # e^t overflows half precision.
        time = time.double()
        if self.linear:
            tau = max(self.steps - 1, 1) if self.normalize else self.tau
            value = 1 - time / tau
        else:
            growth = torch.exp(time * self._log_span() if self.normalize else time / self.tau)
            value = self.threshold * growth / (growth - 1)
        value = value.clamp(self.threshold, 1).to(code.dtype)
        return torch.where(fired > 0, value, torch.zeros_like(value))

    def _linear_time(self, x: Tensor) -> Tensor:
        tau = self.steps - 1 if self.normalize else self.tau
        return torch.clamp_max(-tau * (x - 1), -tau * (self.threshold - 1))

    def _log_time(self, x: Tensor) -> Tensor:
        time = self._charge_time(x)
        if self.normalize:
            time = time * (self.steps - 1) / self._charge_time(x.new_zeros(()))
        return time

    def _charge_time(self, x: Tensor) -> Tensor:
        charged = torch.clamp(x, self.threshold + self.epsilon)
        return self.tau * torch.log(charged / (charged - self.threshold))

    def _log_span(self) -> float:
        latest = self._charge_time(torch.zeros((), dtype=torch.float64))
        return float(latest) / self.tau / max(self.steps - 1, 1)
