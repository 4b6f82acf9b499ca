"""A code of corrupted samples, or with corrupted spikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...coding.base import Coding, Moments
from ...coding.samples import Batch, SampleSpec
from ...models.network import SpikingNetwork
from .corruptions import Corruption
from .sample_random import SampleRandom

Change = Callable[[Any, float, SampleRandom], Any]
"""`(samples or spikes, severity, random) -> the same, corrupted`."""


class CorruptedCoding(Coding):
    """A code of corrupted samples, or a code with corrupted spikes and unchanged analog steps.

    To everything else it is the code that it wraps.

    Args:
        coding: the code.
        change: the corruption, of a batch of samples or of spikes `[B, T, ...]`.
        severity: of the corruption.
        key: the name of the corruption and the seed; seeds the random numbers.
        of_spikes: whether `change` is applied to the spikes and not to the samples.
    """

    def __init__(
        self, coding: Coding, change: Change, severity: float, key: str, *, of_spikes: bool
    ) -> None:
        self.name = coding.name
        self.takes = coding.takes
        self.min_steps = coding.min_steps
        self.static = coding.static and not of_spikes
        self.sums = coding.sums
        self.gives_times = coding.gives_times
        super().__init__(steps=coding.steps)
        self.coding = coding
        self.change = change
        self.severity = severity
        self.key = key
        self.of_spikes = of_spikes
        self._follow()

    def _follow(self) -> None:
        self.spec = self.coding.spec
        # Whether the steps of a series are spikes is known once the code is bound.
        self.analog_steps = self.coding.analog_steps
        self.draws = self.coding.draws

    def bind(self, spec: SampleSpec) -> None:
        self.coding.bind(spec)
        self._follow()

    def step_shape(self, spec: SampleSpec) -> tuple[int, ...]:
        return self.coding.step_shape(spec)

    def step_targets(self, targets: Tensor) -> Tensor:
        return self.coding.step_targets(targets)

    def encode(self, x: Batch) -> Tensor:  # type: ignore[override]
        random = SampleRandom(x, self.key)
        if not self.of_spikes:
            return self.coding.encode(self.change(x, self.severity, random))
        code = self.coding.encode(x)  # type: ignore[arg-type]
        analog, spikes = code[: self.analog_steps], code[self.analog_steps :].transpose(0, 1)
        return torch.cat([analog, self.change(spikes, self.severity, random).transpose(0, 1)])

    def decode(self, code: Tensor, moments: Moments | None = None) -> Tensor:
        return self.coding.decode(code, moments)

    def moments(self, x: Tensor) -> Moments | None:
        return self.coding.moments(x)

    def count_spikes(self, code: Tensor) -> Tensor:
        return self.coding.count_spikes(code)


def with_coding(
    model: SpikingNetwork, change: Change, severity: float, key: str, *, of_spikes: bool = False
) -> SpikingNetwork:
    """Return a network of the same layers whose code is corrupted; see `CorruptedCoding`."""
    coding = CorruptedCoding(model.coding, change, severity, key, of_spikes=of_spikes)
    corrupted = SpikingNetwork(coding, model.body)
    corrupted.training = model.training  # not .train(): the body is shared with the model
    if model.has_config:
        corrupted.config = model.config
    return corrupted


def coding_corruption(
    name: str, change: Change, unit: str, *severities: float, of_spikes: bool = False, **limits: Any
) -> Corruption:
    """Return a corruption that changes samples or spikes by a function.

    Args:
        name: of the corruption; with the seed, it seeds the random numbers.
        change: the function.
        unit, severities: of the corruption.
        of_spikes: whether it changes spikes.
        limits: other attributes of `Corruption`.
    """

    def apply(model: SpikingNetwork, severity: float, seed: int) -> SpikingNetwork:
        return with_coding(model, change, severity, f"{name} {seed}", of_spikes=of_spikes)

    return Corruption(apply, unit, severities, of_spikes=of_spikes, **limits)
