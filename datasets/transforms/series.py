"""Random changes of series."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...coding.samples import SampleSpec
from ...core.errors import ConfigError
from .mixing import Targets

NUMBERS = 5
"""Numbers drawn for a series: shift, length and begin of the spans of steps and of features."""


@dataclass(frozen=True)
class SeriesAugment:
    """Augmentation of series, in this order; nothing depends on the batch.

    Args:
        time_shift: move by whole steps uniform in [-time_shift, time_shift]; zeros enter. Labels of
            each step move along, and -1 (none) enters.
        noise: add Gaussian noise of this standard deviation, in the units of the data.
        mask_time: set a span of up to so many steps to 0; its length is uniform in [0, mask_time].
        mask_features: the same of up to so many neighbouring features.

    Raises:
        ConfigError: a value out of range.

    Source: SpecAugment, arXiv 1904.08779 (the masks).
    """

    time_shift: int = 0
    noise: float = 0.0
    mask_time: int = 0
    mask_features: int = 0

    def __post_init__(self) -> None:
        for key in ("time_shift", "noise", "mask_time", "mask_features"):
            if not 0 <= getattr(self, key) < math.inf:
                raise ConfigError(
                    f"{key} is {getattr(self, key)}", why="it cannot be negative or infinite"
                )

    def check(self, spec: SampleSpec) -> None:
        """Refuse samples that an option does not fit.

        Raises:
            ConfigError: noise for spikes, features of frames, or more steps or features than there
                are.
        """
        if self.noise and spec.binary:
            raise ConfigError(
                f"augment.noise is {self.noise}, the series are spikes",
                why="with noise they would not be 0 and 1",
                remedy="leave augment.noise out",
            )
        if self.mask_features and len(spec.shape) != 1:
            raise ConfigError(
                "augment.mask_features masks features, the series have "
                f"{'×'.join(map(str, spec.shape))} values a step",
                why="rows and columns are no neighbouring features",
                remedy="leave augment.mask_features out",
            )
        for key, size, what in (
            ("time_shift", spec.steps or 0, "steps"),
            ("mask_time", spec.steps or 0, "steps"),
            ("mask_features", spec.shape[0], "features"),
        ):
            if getattr(self, key) >= max(size, 1):
                raise ConfigError(
                    f"augment.{key} is {getattr(self, key)}, the series have {size} {what}",
                    why="nothing of a series could be left",
                    remedy=f"set augment.{key} to less than {size}",
                )

    def apply(
        self,
        x: Tensor,
        y: Tensor,
        *,
        epoch: int,
        generator: Generator | None = None,
        samples: Iterable[Generator] = (),
    ) -> tuple[Tensor, Targets]:
        """Return the changed series `[B, T, ...]`, and the targets for `y` `[B, ...]`.

        Args:
            x: the series.
            y: their targets.
            epoch: counted from 0; not used.
            generator: not used.
            samples: a generator for each series.

        Raises:
            ConfigError: real values of each step cannot be shifted.
        """
        if not len(x) or not any((self.time_shift, self.noise, self.mask_time, self.mask_features)):
            return x, Targets(y, y, 1.0)
        generators = list(samples)
        # All numbers are drawn, so that an option does not change those of another.
        drawn = [torch.rand(NUMBERS, generator=each, dtype=torch.float64) for each in generators]
        moved, *spans = torch.stack(drawn, 1)
        if self.time_shift:
            offset = ((2 * self.time_shift + 1) * moved).long() - self.time_shift
            x, y = self._shifted(x, y, offset.to(x.device))
        if self.noise:
            noise = torch.stack([torch.randn(x.shape[1:], generator=each) for each in generators])
            x = x + self.noise * noise.to(x.device)
        if self.mask_time:
            masked = span(spans[0], spans[1], self.mask_time, x.shape[1]).to(x.device)
            x = x.masked_fill(masked.view(*x.shape[:2], *[1] * (x.dim() - 2)), 0.0)
        if self.mask_features:
            masked = span(spans[2], spans[3], self.mask_features, x.shape[2]).to(x.device)
            x = x.masked_fill(masked[:, None], 0.0)
        return x, Targets(y, y, 1.0)

    def _shifted(self, x: Tensor, y: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
        by_step = y.dim() > 1 and y.shape[1] == x.shape[1]
        if by_step and y.is_floating_point():
            raise ConfigError(
                "augment.time_shift cannot move real values of each step",
                why="there is no value for the steps that enter",
                remedy="leave augment.time_shift out",
            )
        return shift(x, offset, 0), shift(y, offset, -1) if by_step else y


def shift(x: Tensor, offset: Tensor, fill: int) -> Tensor:
    """Return `x` `[B, T, ...]` moved by `offset` `[B]` steps: found[b, t] = x[b, t - offset[b]]."""
    steps = x.shape[1]
    source = torch.arange(steps, device=x.device) - offset[:, None]
    rows = torch.arange(len(x), device=x.device)[:, None]
    moved = x[rows, source.clamp(0, steps - 1)]
    outside = (source < 0) | (source >= steps)
    return moved.masked_fill(outside.view(*outside.shape, *[1] * (x.dim() - 2)), fill)


def span(length: Tensor, begin: Tensor, longest: int, size: int) -> Tensor:
    """Return masks `[B, size]`, true in a span of up to `longest`.

    Args:
        length, begin: uniform in [0, 1), `[B]`; they choose a length of 0 to `longest` and one of
            the positions where the span fits.
        longest: at most `size`.
        size: of the axis.
    """
    count = ((longest + 1) * length).long()
    first = ((size - count + 1) * begin).long()
    position = torch.arange(size)
    return (position >= first[:, None]) & (position < (first + count)[:, None])
