"""The delta code: a spike whenever the value exceeds the transmitted sum by δ."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, at_least_float32, check_images


class Delta(Coding):
    """Delta modulation with feedback of a constant signal that begins at 0.

    After t spikes the transmitted sum is t δ, so code[t] = H(x - (t + 1) δ): a value fires at each
    step from the first until its sum is reached.

    Args:
        steps: number of time steps T.
        threshold: δ; 1/(T + 1) by default, so that [0, 1] uses all T steps.

    Raises:
        ConfigError: `threshold` is not above 0.

    Source: the step-forward scheme of Petro, Kasabov and Kiss, IEEE TNNLS 31 (2020). Without the
    feedback, as `snntorch.spikegen.delta` does for sequences, a constant image spikes at
    the first step only.
    """

    name = "delta"
    pointwise = True

    def __init__(self, *, steps: int, threshold: float | None = None) -> None:
        super().__init__(steps=steps)
        if threshold is not None and not threshold > 0:
            raise ConfigError(f"threshold must be above 0, not {threshold}")
        self.threshold = threshold

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        values = at_least_float32(x)
        count = torch.arange(1, self.steps + 1, dtype=values.dtype, device=x.device)
        level = count * self.threshold if self.threshold else count / (self.steps + 1)
        return (values > level.view(-1, *[1] * x.dim())).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the middle of the interval of values with n spikes, (n + 1/2) δ."""
        delta = self.threshold or 1 / (self.steps + 1)
        return (code.sum(0) + 0.5) * delta
