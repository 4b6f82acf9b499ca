"""The rate code: a value is the probability of a spike at each step."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Coding, Moments


class Rate(Coding):
    """P(code[t] = 1) = x, independent over steps (Bernoulli), as `snntorch.spikegen.rate`.

    Args:
        steps: number of time steps T.
        seed: seed of a generator of the code's own, whose stream runs on from call to call;
            by default torch's global generator is used.
    """

    name = "rate"

    def __init__(self, *, steps: int, seed: int | None = None) -> None:
        super().__init__(steps=steps)
        self.seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def encode(self, x: Tensor) -> Tensor:
        probability = x.clamp(0, 1).expand(self.steps, *x.shape)
        return torch.bernoulli(probability, generator=self._generator(x.device))

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return code.mean(0)

    def _generator(self, device: torch.device) -> torch.Generator | None:
        if self.seed is None:
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]
