"""Rectified linear units in the place of neurons, for the analog twin of a network."""

from __future__ import annotations

from torch import Tensor, nn


class Relu(nn.Module):
    """max(x, 0), each step for itself: `[T, B, C, ...] -> [T, B, C, ...]`.

    It makes no spikes and knows no time: no membrane, no schedules. A network of it with a direct
    code and one step is the ordinary network (ANN) of the same architecture. The fused kernels
    do not compute it, spike rates leave it out, and it cannot be exported.

    Args:
        steps, channels: of the layer; they change nothing.
    """

    spiking = False  # what counts spikes leaves it out

    def __init__(self, steps: int, channels: int | None = None) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x.relu()
