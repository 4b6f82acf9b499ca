"""The code of series: their own time steps."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..core.errors import ConfigError
from .base import Coding, Moments
from .samples import SampleSpec
from .selection import Selection, selected

Fit = Literal["exact", "crop", "last", "spread", "mean", "sum"]
# Fits that take steps as they are.
SELECTING: dict[str, Selection] = {
    "exact": "first",
    "crop": "first",
    "last": "last",
    "spread": "spread",
}


class Given(Coding):
    """The time steps of a series as they are: code[t, b] = x[b, t].

    Args:
        steps: number of time steps T.
        fit: `exact` refuses a series of other than T steps; `crop` takes its first T, `last` its
            last T, `spread` the middle ones of T parts; `mean` and `sum` join neighbouring steps
            into T windows of equal length, the last of which has the rest.

    Raises:
        ConfigError: an unknown value of `fit`.
    """

    name = "given"
    takes = frozenset({"series"})

    def __init__(self, *, steps: int, fit: Fit = "exact") -> None:
        super().__init__(steps=steps)
        if fit not in get_args(Fit):
            raise ConfigError(f"unknown fit {fit!r}", why=f"choose from {', '.join(get_args(Fit))}")
        self.fit = fit
        self.analog_steps = steps

    def bind(self, spec: SampleSpec) -> None:
        super().bind(spec)
        assert spec.steps is not None
        if self.fit == "exact" and spec.steps != self.steps:
            raise ConfigError(
                f"the series have {spec.steps} steps, the code {self.steps}",
                remedy=f"set coding.steps={spec.steps}, or coding.fit to crop, last, "
                "spread, mean or sum",
            )
        if spec.steps < self.steps:
            raise ConfigError(
                f"the series have {spec.steps} steps, fewer than the {self.steps} of the code",
                remedy=f"set coding.steps={spec.steps} or less",
            )
        # Sums and means of spikes are values.
        self.analog_steps = 0 if spec.binary and self.fit in SELECTING else self.steps

    def windows(self, length: int) -> list[slice]:
        """Return the steps of a series of `length` steps that each of the T windows joins."""
        if self.fit in SELECTING:
            return [slice(t, t + 1) for t in selected(SELECTING[self.fit], self.steps, length)]
        size = length // self.steps
        starts = [size * t for t in range(self.steps)]
        return [slice(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]

    def _selected(self, length: int) -> slice | list[int]:
        """Return the index of the steps that are taken, a slice where that needs no copy."""
        if self.fit == "spread":
            return selected("spread", self.steps, length)
        begin = length - self.steps if self.fit == "last" else 0
        return slice(begin, begin + self.steps)

    def whole(self) -> dict[str, Any]:
        """Return the steps of a series, as they are or, for `mean` and `sum`, as many as joined."""
        assert self.spec is not None
        assert self.spec.steps is not None
        return {"steps": self.spec.steps, "fit": "exact"} if self.fit in SELECTING else {}

    def step_targets(self, targets: Tensor) -> Tensor:
        """Return the target of the last step of each window that has one.

        A window of labels -1, or of NaN, keeps it.
        """
        if self.fit in SELECTING:
            return targets[:, self._selected(targets.shape[1])]
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
        if self.fit in SELECTING:
            return code[self._selected(len(code))]
        join = torch.mean if self.fit == "mean" else torch.sum
        return torch.stack([join(code[part], 0) for part in self.windows(len(code))])

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        if self.fit != "exact":
            raise ConfigError(
                f"a series of fit {self.fit!r} cannot be decoded",
                why="the code does not keep all its steps",
            )
        return code.transpose(0, 1)
