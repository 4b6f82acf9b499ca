"""Batch normalisation of time-major tensors, in three forms.

- `folded`: one set of statistics over all T·B samples.
- `per-step`: each step has its own statistics, running averages, weight and bias.
- `shared`: each step is normalised by itself in training, and all feed one set of running
  averages, as the published code does; for comparison only.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.registry import unknown
from .time import is_static, over_time

Norm = Literal["folded", "per-step", "shared"]


def create_norm(form: str, channels: int, *, steps: int, image: bool) -> nn.Module:
    """Return batch norm for `[T, B, C, H, W]` (`image`) or `[T, B, C]`.

    Raises:
        ConfigError: the form is not known.
    """
    make = nn.BatchNorm2d if image else nn.BatchNorm1d
    if form == "folded":
        return FoldedNorm(make(channels))
    if form == "per-step":
        return PerStepNorm([make(channels) for _ in range(steps)])
    if form == "shared":
        warnings.warn(
            "norm 'shared' averages the statistics of steps that differ, so that evaluation may "
            "fit none of them; it is there to compare with the published code",
            stacklevel=2,
        )
        return SharedNorm(make(channels))
    raise unknown("norm", form, ["folded", "per-step", "shared"])


class FoldedNorm(nn.Module):
    """Normalise all steps together; steps that are views of one are normalised once."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        if is_static(x):
            return self.norm(x[0]).expand(x.shape)
        return over_time(self.norm, x)


class PerStepNorm(nn.Module):
    """Normalise step t with the t-th of `norms`."""

    def __init__(self, norms: list[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([norm(step) for norm, step in zip(self.norms, x, strict=False)])


class SharedNorm(nn.Module):
    """Normalise each step by itself with one norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.norm(step) for step in x])


class PartedNorm(nn.Module):
    """Normalise the first `split` steps with one norm and the others with another."""

    def __init__(self, split: int, first: nn.Module, others: nn.Module) -> None:
        super().__init__()
        self.split = split
        self.first = first
        self.others = others

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] <= self.split:
            return self.first(x)
        return torch.cat([self.first(x[: self.split]), self.others(x[self.split :])])
