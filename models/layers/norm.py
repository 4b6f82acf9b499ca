"""Batch normalisation of time-major tensors, in three forms.

- `folded`: one set of statistics over all T·B samples.
- `per-step`: each step has its own statistics, running averages, weight and bias.
- `shared`: in training each step is normalised with its own statistics, and all steps update one
  set of running averages, as in the published code; for comparison only.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import chain, repeat
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...core.registry import unknown
from ..layer import VALUES, Layer, Lowering, OperationList, Signal
from .batch_norm import BatchNorm1d, BatchNorm2d
from .time import is_static, over_time

Norm = Literal["folded", "per-step", "shared"]


class TimeNorm(Layer):
    """Batch norm of time-major tensors, `[T, B, C, ...] -> [T, B, C, ...]`.

    It is exported by its `segments`, whatever its `forward`.
    """

    answers_of: ClassVar = {"lower": (), "list_operations": ()}

    def segments(self, steps: int) -> list[tuple[nn.Module, int]]:
        """Return the batch norms of the first `steps` in order, each with its number of steps.

        A norm may appear more than once: each entry is normalised with statistics of its own.
        """
        raise NotImplementedError

    def lower(self, graph: Lowering, name: str) -> None:
        graph.norm(name, name, self)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return VALUES  # scales and shifts the input of the next layer


def create_norm(form: str, channels: int, *, steps: int, image: bool) -> TimeNorm:
    """Return batch norm for `[T, B, C, H, W]` (`image`) or `[T, B, C]`.

    Raises:
        ConfigError: the form is unknown.
    """
    make = BatchNorm2d if image else BatchNorm1d
    if form == "folded":
        return FoldedNorm(make(channels))
    if form == "per-step":
        return PerStepNorm([make(channels) for _ in range(steps)])
    if form == "shared":
        warnings.warn(
            "norm 'shared' averages the statistics of steps that differ, so in evaluation the "
            "averages may fit no step; use it only to compare with the published code",
            stacklevel=2,
        )
        return SharedNorm(make(channels))
    raise unknown("norm", form, ["folded", "per-step", "shared"])


class FoldedNorm(TimeNorm):
    """Normalise all steps together; of a static input, one step stands for all."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        if is_static(x):
            return self.norm(x[0]).expand(x.shape)
        return over_time(self.norm, x)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.norm

    def segments(self, steps: int) -> list[tuple[nn.Module, int]]:
        return [(self.norm, steps)]


class PerStepNorm(TimeNorm):
    """Normalise step t with the t-th of `norms`."""

    def __init__(self, norms: list[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([norm(step) for norm, step in zip(self.norms, x, strict=False)])

    def stepper(self) -> Callable[[Tensor], Tensor]:
        norms = iter(self.norms)
        return lambda x: next(norms)(x)

    def segments(self, steps: int) -> list[tuple[nn.Module, int]]:
        return [(norm, 1) for norm in self.norms[:steps]]


class SharedNorm(TimeNorm):
    """Normalise each step with its own statistics, and one set of running averages."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.norm(step) for step in x])

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.norm

    def segments(self, steps: int) -> list[tuple[nn.Module, int]]:
        return [(self.norm, 1)] * steps


class SplitNorm(TimeNorm):
    """Normalise the first `split` steps with `head` and the later steps with `tail`."""

    first: TimeNorm
    others: TimeNorm

    def __init__(self, split: int, head: TimeNorm, tail: TimeNorm) -> None:
        super().__init__()
        self.split = split
        # These names are part of the keys in saved weights.
        self.first = head
        self.others = tail

    def segments(self, steps: int) -> list[tuple[nn.Module, int]]:
        if steps <= self.split:
            return self.first.segments(steps)
        return [*self.first.segments(self.split), *self.others.segments(steps - self.split)]

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] <= self.split:
            return self.first(x)
        return torch.cat([self.first(x[: self.split]), self.others(x[self.split :])])

    def stepper(self) -> Callable[[Tensor], Tensor]:
        steps = chain(repeat(self.first.stepper(), self.split), repeat(self.others.stepper()))
        return lambda x: next(steps)(x)
