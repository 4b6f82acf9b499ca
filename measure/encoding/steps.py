"""The steps of a code, put together from batches and from blocks of large samples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...coding.base import Coding
from ...coding.stored import StoredSteps
from .memory import BLOCK


class CodeSteps:
    """Room for the steps of a code; a spike takes a byte, and equal analog steps are kept once.

    Args:
        coding: the code.
        count: the number of samples N.
        shape: of one step of a sample.
    """

    def __init__(self, coding: Coding, count: int, shape: tuple[int, ...]) -> None:
        self.coding = coding
        self.shape = shape
        analog = 1 if coding.static else coding.analog_steps
        size = torch.Size(shape).numel()
        self._analog = torch.empty(analog, count, size)
        spike_steps = coding.steps - coding.analog_steps
        self._spikes = torch.empty(spike_steps, count, size, dtype=torch.uint8)

    def put(self, code: Tensor, first: int, value: int = 0) -> None:
        """Keep a part of the code `[T, b, m]`: of samples from `first`, of values from `value`."""
        place = (
            slice(None),
            slice(first, first + code.shape[1]),
            slice(value, value + code[0, 0].numel()),
        )
        analog = self.coding.analog_steps
        code = code.flatten(2)
        self._analog[place] = code[: len(self._analog)].float()
        spikes = code[analog:]
        kept = spikes.to(torch.uint8)
        if self._spikes.dtype == torch.uint8 and not torch.equal(kept.to(spikes.dtype), spikes):
            self._spikes = self._spikes.float()  # a code of other values than whole numbers
        self._spikes[place] = spikes.to(self._spikes.dtype)

    def stored(self) -> StoredSteps:
        """Return all steps, without a copy."""
        analog, spikes = (
            part.view(len(part), part.shape[1], *self.shape).numpy()
            for part in (self._analog, self._spikes)
        )
        return StoredSteps(self.coding.steps, analog, spikes)


def blocks_of(coding: Coding, x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield a batch of samples in blocks, each with the number of its first value in a sample.

    A large sample of a code that is `pointwise` is split, `[1, ...]` to several `[1, m]`;
    everything else is one block.

    Args:
        coding: the code.
        x: `[B, ...]`.
    """
    if not coding.pointwise or len(x) > 1 or coding.steps * x.numel() <= BLOCK:
        yield 0, x
        return
    size = max(1, BLOCK // coding.steps)
    for number, block in enumerate(x.flatten(1).split(size, 1)):
        yield number * size, block
