"""The interface of a code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from .check import check_tensor, has_values
from .samples import PLURALS, SampleSpec

Moments = tuple[Tensor, Tensor]
MAX_STEPS = 10_000
FIRST_CHOICE = {"image": "hybrid", "events": "frames", "series": "given"}
"""The code to name to somebody whose samples do not fit another."""


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in at least float32: sums and logarithms are inexact in half precision."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def check_images(x: Tensor) -> None:
    """Refuse what is no tensor of floats, and NaN, which each code encodes in another way.

    Raises:
        DataError: with the type, or the number of NaN.
    """
    check_tensor(x, "images")
    if not has_values(x):
        return
    # One fast pass: a sum with a NaN is NaN, and so may be one of infinities.
    if not (x.is_floating_point() and math.isnan(x.detach().sum())):
        return
    nan = x.isnan()
    if nan.any():
        raise DataError(
            "the images hold NaN",
            why=f"{int(nan.sum()):,} of {x.numel():,} values are not a number",
            remedy="replace them, e.g. with torch.nan_to_num",
        )


class Coding:
    """A code turns a batch of samples into T steps: `[B, ...] -> [T, B, ...]`.

    Args:
        steps: number of time steps T.

    Raises:
        ConfigError: `steps` is less than `min_steps`, or more than 10,000.

    Attributes:
        name: the name in recipes.
        analog_steps: the number of leading steps that hold analog values instead of spikes.
        static: whether all steps are equal, so that layers without state compute one step only.
        min_steps: the smallest number of steps.
        sums: whether the steps add up to the sample, instead of each showing it: a stem then
            multiplies them by T. Those after the analog steps are silent, and have no weights of
            their own.
        opens: whether a spike opens a constant current that lasts until the end: a stem then reads
            1 from the step of a spike to the last one.
        normalised: whether analog steps are samples that a stem normalises by the mean and standard
            deviation of the data.
        draws: whether it draws random numbers, so that a figure is that of one draw. It draws them
            with the `current_keys` of `asnn.coding.draws`, if there are any.
        pointwise: whether the code of a value is a function of that value alone, wherever it lies,
            so that a large sample may be encoded in blocks. A subclass with an `encode` of its own
            says it anew.
        working_bytes: that `encode` takes at most for each value of a step, beside its result.
        gives_times: whether its code holds exact spike times, for networks of exact times, instead
            of steps.
        takes: the kinds of samples that it encodes.
        spec: the samples that it is bound to, None before `bind`.
    """

    name: str = ""
    takes: frozenset[str] = frozenset({"image"})
    spec: SampleSpec | None = None
    analog_steps: int = 0
    static: bool = False
    sums: bool = False
    opens: bool = False
    normalised: bool = True
    draws: bool = False
    pointwise: bool = False
    working_bytes: int = 16
    min_steps: int = 1
    gives_times: bool = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own, meant = (
            next(each for each in cls.__mro__ if name in vars(each))
            for name in ("encode", "pointwise")
        )
        if own is not meant:  # another `encode` than the one that is pointwise
            cls.pointwise = False

    def __init__(self, *, steps: int) -> None:
        if type(steps) is not int or steps > MAX_STEPS:
            raise ConfigError(
                f"steps must be an integer up to {MAX_STEPS}, not {steps!r}",
            )
        if steps < self.min_steps:
            raise ConfigError(
                f"the code {self.name!r} needs {self.min_steps} steps or more, not {steps}"
            )
        self.steps = steps

    def bind(self, spec: SampleSpec) -> None:
        """Prepare the code for samples of a data set.

        Raises:
            ConfigError: it does not encode samples of that kind, or not these.
        """
        if spec.kind not in self.takes:
            kinds = " or ".join(PLURALS[kind] for kind in sorted(self.takes))
            raise ConfigError(
                f"the code {self.name!r} takes {kinds}, not {PLURALS[spec.kind]}",
                remedy=f"set coding.name={FIRST_CHOICE[spec.kind]}",
            )
        self.spec = spec

    def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
        """Return the shape of one step of the code of such samples, without batch."""
        return spec.shape

    def whole(self) -> dict[str, Any] | None:
        """Return `steps` and options with which the code has all frames of a recording or series
        of which it takes a part; None if it never takes a part. Called after `bind`."""
        return None

    def of_counterpart(self) -> dict[str, Any]:
        """Return the options of the code `direct` of the ANN counterpart, by which it is given what
        the steps of this code say of an image."""
        return {}

    def of_windows(self, windows: int) -> dict[str, Any] | None:
        """Return the options of this code with so many steps, each of which says in values what
        several steps of it say; None if it has no such form."""
        return None

    def step_targets(self, targets: Tensor) -> Tensor:
        """Return the targets `[B, T, ...]` of the steps of the code, of those of a sample's own."""
        return targets[:, : self.steps]

    def encode(self, x: Tensor) -> Tensor:
        """Return the code of samples, such as images `[B, ...]` in [0, 1], as `[T, B, ...]`.

        Images are encoded in their own dtype.

        Raises:
            DataError: an image holds NaN.
        """
        raise NotImplementedError

    def each_step(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the steps of `encode` one after the other, each `[B, ...]`.

        A code may do so without holding all of them at once.
        """
        yield from self.encode(x)

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        """Return the images `[B, ...]` reconstructed from the code `[T, B, ...]`.

        Args:
            code: the result of `encode`.
            moments: mean and standard deviation of each image, from `moments`. Without them a code
                of standardised values returns standardised values.

        Raises:
            ConfigError: the code has no decoder.
        """
        raise ConfigError(f"the code {self.name!r} cannot be decoded")

    def moments(self, x: Tensor) -> Moments | None:
        """Return the `moments` that `decode` needs to return pixels, or None."""
        return None

    def count_spikes(self, code: Tensor) -> Tensor:
        """Return the number of spikes of each sample of the code `[T, B, ...]`, `[B]` float64.

        Analog steps hold no spikes and are not counted.
        """
        spikes = code[self.analog_steps :]
        return spikes.transpose(0, 1).flatten(1).sum(1, dtype=torch.float64)
