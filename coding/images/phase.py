"""The phase code: the binary digits of the value, the greatest first."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, at_least_float32, check_images

DIGITS = 8  # of the pixels of most pictures
MAX_DIGITS = 16


class Phase(Coding):
    """code[t] = digit t mod K of q = min(⌊2^K x⌋, 2^K - 1) in binary, the greatest digit first.

    A spike at phase k = 0..K-1 stands for 2^-(k+1): these weights are not part of the code, which
    is spikes, and a gain for each step can learn them. After K steps the code begins anew. With
    K = 8 it is the pixel of a picture with 8 bits, digit by digit.

    Args:
        steps: number of time steps T.
        period: K, from 1 to T and at most 16; the smaller of T and 8 by default.

    Raises:
        ConfigError: `period` is out of range.

    Source: Kim et al., Neurocomputing 311 (2018), where x is below 1.
    """

    name = "phase"
    pointwise = True

    def __init__(self, *, steps: int, period: int | None = None) -> None:
        super().__init__(steps=steps)
        if period is not None and not 1 <= period <= min(steps, MAX_DIGITS):
            raise ConfigError(
                f"period must be from 1 to {min(steps, MAX_DIGITS)}, not {period}",
                why=f"the digits of a value follow each other in {steps} steps",
            )
        self.period = min(steps, DIGITS) if period is None else period

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        # Half precision holds no 16 digits. A power of two scales without rounding.
        most = 2**self.period - 1
        number = (at_least_float32(x) * 2**self.period).floor().clamp(0, most)
        place = self._places(number).view(-1, *[1] * x.dim())
        return (number / place).floor().remainder(2).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the middle of the interval of values with these digits, (q + 1/2) 2^-K."""
        digits = at_least_float32(code[: self.period])
        place = self._places(digits)[: self.period].view(-1, *[1] * (code.dim() - 1))
        return (((digits * place).sum(0) + 0.5) / 2**self.period).to(code.dtype)

    def _places(self, like: Tensor) -> Tensor:
        """Return 2^(K-1-k) of the phase k of each step, `[T]`."""
        phase = torch.arange(self.steps, device=like.device) % self.period
        return torch.pow(2.0, self.period - 1 - phase).to(like.dtype)
