"""Rectified linear units instead of spiking neurons, for the ANN counterpart of a network."""

from __future__ import annotations

from torch import Tensor, nn


class Relu(nn.Module):
    """max(x, 0) of each step: `[T, B, C, ...] -> [T, B, C, ...]`.

    It has no state and no schedules, and its output is not spikes. With a direct code and one step
    it makes the ANN of the same architecture. There is no fused kernel for it, spike rates leave
    it out, and it cannot be exported.

    Args:
        steps, channels: ignored; every neuron is built with them.
    """

    spiking = False  # spike rates leave it out

    def __init__(self, steps: int, channels: int | None = None) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()
