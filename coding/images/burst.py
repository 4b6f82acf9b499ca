"""The burst code: the brighter a value, the more spikes, and the closer together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ..base import Coding, Moments, at_least_float32, check_images


class Burst(Coding):
    """n = ⌈N x⌉ spikes at t = 0, i, 2i, ..., with the interval i = ⌈i_max - (i_max - i_min) x⌉.

    A value of 0 never fires. A value with one spike has the interval i_max. Spikes after the last
    step are lost.

    Args:
        steps: number of time steps T.
        most: N, the spikes of a value of 1; the smaller of T and 5 by default.
        shortest: i_min in steps, the interval of a value of 1.
        longest: i_max in steps; by default the longest with which no spike is lost, or `shortest`
            if there is none.

    Raises:
        ConfigError: an option out of range, or `longest` less than `shortest`.

    Source: Guo et al., Frontiers in Neuroscience 15 (2021), with N = 5 and times in milliseconds.
    """

    name = "burst"
    pointwise = True
    working_bytes = 24

    def __init__(
        self,
        *,
        steps: int,
        most: int | None = None,
        shortest: int = 1,
        longest: int | None = None,
    ) -> None:
        super().__init__(steps=steps)
        if most is not None and not 1 <= most <= steps:
            raise ConfigError(f"most must be from 1 to the {steps} steps, not {most}")
        if shortest < 1:
            raise ConfigError(f"shortest must be at least 1 step, not {shortest}")
        if longest is not None and longest < shortest:
            raise ConfigError(
                f"longest must be at least shortest, which is {shortest}, not {longest}",
                why="the interval between two spikes grows as values get darker",
            )
        self.most = min(steps, 5) if most is None else most
        self.shortest = shortest
        self.longest = self._longest_that_fits() if longest is None else longest

    def encode(self, x: Tensor) -> Tensor:
        check_images(x)
        values = at_least_float32(x)
        count = (self.most * values).ceil()
        interval = (-(self.longest - self.shortest) * values + self.longest).ceil()
        interval = torch.where(count > 1, interval, float(self.longest))
        t = torch.arange(self.steps, dtype=values.dtype, device=x.device)
        t = t.view(-1, *[1] * x.dim())
        before = (t / interval).floor()  # whole intervals until t
        return ((before * interval == t) & (before < count)).to(x.dtype)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the middle of the interval of values with this number of spikes and interval."""
        spikes = at_least_float32(code)
        count = spikes.sum(0)
        low, high = (count - 1) / self.most, count / self.most
        width = self.longest - self.shortest
        if width and self.steps > 1:
            interval = spikes[1:].argmax(0) + 1  # until the second spike
            several = count > 1
            low = torch.where(several, low.maximum((self.longest - interval) / width), low)
            high = torch.where(several, high.minimum((self.longest - interval + 1) / width), high)
        value = ((low + high) / 2).clamp(0, 1)
        return torch.where(count > 0, value, 0.0).to(code.dtype)

    def _longest_that_fits(self) -> int:
        """Return the greatest i_max with which the last spike of no burst is lost."""

        def fits(longest: int) -> bool:
            # n spikes have values above (n - 1) / N, so that their interval is at most this.
            shrink = (longest - self.shortest) / self.most
            return all(
                (n - 1) * math.ceil(longest - shrink * (n - 1)) < self.steps
                for n in range(2, self.most + 1)
            )

        if self.most == 1:
            return self.shortest
        candidates = range(self.steps, self.shortest, -1)
        return next((each for each in candidates if fits(each)), self.shortest)
