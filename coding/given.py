"""The code of series: their own time steps."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Coding, Moments
from .samples import SampleSpec

Fit = Literal["exact", "crop", "mean", "sum"]


class Given(Coding):
    """The time steps of a series as they are: code[t, b] = x[b, t].

    Args:
        steps: number of time steps T.
        fit: `exact` refuses a series of other than T steps; `crop` takes its first T; `mean` and
            `sum` join neighbouring steps into T windows of equal length, the last of which has
            the rest.

    Raises:
        ConfigError: an unknown value of `fit`.
    """

    name = "given"
    takes = frozenset({"series"})

    def __init__(self, *, steps: int, fit: Fit = "exact") -> None:
        super().__init__(steps=steps)
        if fit not in ("exact", "crop", "mean", "sum"):
            raise ConfigError(f"unknown fit {fit!r}", why="choose from exact, crop, mean, sum")
        self.fit = fit
        self.analog_steps = steps

    def bind(self, spec: SampleSpec) -> None:
        super().bind(spec)
        assert spec.steps is not None
        if self.fit == "exact" and spec.steps != self.steps:
            raise ConfigError(
                f"the series have {spec.steps} steps, the code {self.steps}",
                remedy=f"set coding.steps={spec.steps}, or coding.fit to crop, mean or sum",
            )
        if spec.steps < self.steps:
            raise ConfigError(
                f"the series have {spec.steps} steps, fewer than the {self.steps} of the code",
                remedy=f"set coding.steps={spec.steps} or less",
            )
        # Sums and means of spikes are values.
        self.analog_steps = 0 if spec.binary and self.fit in ("exact", "crop") else self.steps

    def windows(self, length: int) -> list[slice]:
        """Return the steps of a series of `length` steps that each of the T windows joins."""
        if self.fit in ("exact", "crop"):
            return [slice(t, t + 1) for t in range(self.steps)]
        size = length // self.steps
        starts = [size * t for t in range(self.steps)]
        return [slice(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]

    def step_targets(self, targets: Tensor) -> Tensor:
        """Return the target of the last step of each window that has one.

        A window of labels -1, or of NaN, keeps it.
        """
        if self.fit in ("exact", "crop"):
            return super().step_targets(targets)
        missing = targets.isnan() if targets.is_floating_point() else targets == -1
        parts = []
        for part in self.windows(targets.shape[1]):
            window, known = targets[:, part], ~missing[:, part]
            count = window.shape[1]
            order = torch.arange(1, count + 1).view(1, -1, *[1] * (window.dim() - 2))
            last = (known * order.to(window.device)).amax(1, keepdim=True)
            index = torch.where(last > 0, last, count) - 1
            parts.append(window.gather(1, index).squeeze(1))
        return torch.stack(parts, 1)

    def encode(self, x: Tensor) -> Tensor:
        code = x.transpose(0, 1)
        if self.fit in ("exact", "crop"):
            return code[: self.steps]
        join = torch.mean if self.fit == "mean" else torch.sum
        return torch.stack([join(code[part], 0) for part in self.windows(len(code))])

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        if self.fit != "exact":
            raise ConfigError(
                f"a series of fit {self.fit!r} cannot be decoded",
                why="the code does not keep all its steps",
            )
        return code.transpose(0, 1)
