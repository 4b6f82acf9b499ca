"""The interface of a synapse."""

from __future__ import annotations

from torch import Tensor, nn


class Synapse(nn.Module):
    """A filter over time: `[T, B, C, ...]` to values of the same shape, from rest.

    It stands in front of an affine layer, and keeps no state between two calls. What follows it
    reads values, not spikes, at every step.

    Args:
        channels: C, the axis after the batch.
        steps: number of time steps T.
    """

    def __init__(self, channels: int, *, steps: int) -> None:
        super().__init__()
        self.channels = channels
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError
