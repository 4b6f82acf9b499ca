"""The rate code: a value is the probability of a spike at each step."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, check_images
from ..draws import content_keys, current_keys, uniforms


class Rate(Coding):
    """P(code[t] = 1) = x, independent over steps (Bernoulli), as `snntorch.spikegen.rate`.

    Args:
        steps: number of time steps T.
        seed: seed of every call, so that equal images get equal spikes, in whatever batch and
            epoch. By default what is drawn for a sample is a function of its index in the split
            and of the seed: see `asnn.coding.draws`. Outside of `drawing`, each call draws from
            torch's global generator.

    Raises:
        ConfigError: `seed` is out of range.
    """

    name = "rate"
    working_bytes = 12

    def __init__(self, *, steps: int, seed: int | None = None) -> None:
        super().__init__(steps=steps)
        if seed is not None and not 0 <= seed < 2**63:
            raise ConfigError(f"seed must be from 0 to 2^63 - 1, not {seed}")
        self.seed = seed
        self.draws = seed is None

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        keys = current_keys(len(x)) if self.seed is None else content_keys(x, self.seed)
        if keys is None:
            return torch.bernoulli(x.clamp(0, 1).expand(self.steps, *x.shape))
        drawn = uniforms(keys, self.steps, tuple(x.shape[1:]), device=x.device)
        return (drawn < x).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return code.mean(0)
