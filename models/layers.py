"""The parts that networks are built of."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..coding.base import Coding
from .norm import PartedNorm, create_norm
from .time import over_time


class Stem(nn.Module):
    """The first weights, which see the code: `[T, B, ...] -> [T, B, F, ...]`.

    Analog steps and spike steps have weights of their own (the dual stem of arXiv 2408.12407).
    Analog steps are normalised by mean and deviation, spikes are taken as they are. A static
    code is computed once, and its steps are views of the result.

    Args:
        coding: tells which steps are analog.
        make: builds the affine layer, for one set of weights.
        mean, std: of each channel of the images, to normalise analog steps.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        coding: Coding,
        make: Callable[[], nn.Module],
        *,
        mean: list[float],
        std: list[float],
    ) -> None:
        super().__init__()
        self.static = coding.static
        self.analog_steps = coding.analog_steps
        self.analog = make() if coding.analog_steps > 0 else None
        self.spikes = make() if coding.analog_steps < coding.steps else None
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, code: Tensor) -> Tensor:
        if self.static and self.analog is not None:
            once = self.analog(self._normalise(code[0]))
            return once.expand(code.shape[0], *once.shape)
        parts = []
        analog, spikes = code[: self.analog_steps], code[self.analog_steps :]
        if self.analog is not None:
            parts.append(over_time(self.analog, self._normalise(analog)))
        if self.spikes is not None and len(spikes):
            parts.append(over_time(self.spikes, spikes))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class SpikingLayer(nn.Module):
    """Batch norm, neuron over all steps, optional pooling: `[T, B, C, ...] -> [T, B, C, ...]`."""

    def __init__(self, norm: nn.Module, neuron: nn.Module, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm
        self.neuron = neuron
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.neuron(self.norm(x))
        return spikes if self.pool is None else over_time(self.pool, spikes)


class Readout(nn.Module):
    """logits_t = scale_t (W s_t + b): spikes `[T, B, F]` to logits of each step `[T, B, K]`.

    Args:
        features: F.
        classes: K.
        steps: number of time steps T.
        scaled: give each step a learnable scale, starting at 1.
    """

    def __init__(self, features: int, classes: int, *, steps: int, scaled: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)
        self.scale = nn.Parameter(torch.ones(steps)) if scaled else None

    def forward(self, spikes: Tensor) -> Tensor:
        logits = self.linear(spikes)
        if self.scale is None:
            return logits
        return logits * self.scale[: logits.shape[0]].view(-1, 1, 1)


def stem_norm(coding: Coding, form: str, channels: int, *, image: bool) -> nn.Module:
    """Return the batch norm behind a stem: one for analog steps, another for spike steps."""
    analog, spikes = coding.analog_steps, coding.steps - coding.analog_steps
    if not analog or not spikes:
        return create_norm(form, channels, steps=coding.steps, image=image)
    return PartedNorm(
        analog,
        create_norm(form, channels, steps=analog, image=image),
        create_norm(form, channels, steps=spikes, image=image),
    )
