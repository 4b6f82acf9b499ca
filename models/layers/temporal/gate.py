"""A gate of spikes: how much of each is sent follows from the values of all steps."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ....core.errors import ConfigError
from ...layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal
from ..norm import TimeNorm
from ..spiking import SpikingLayer
from ..time import over_time
from .start import StartedSpikes

TIME_KERNEL = 5
SPACE_KERNEL = 4


class GatedSpikes(Layer):
    """Spikes of a normed input, each times a factor between 0 and 1: `[T, B, C, H, W]`.

        x = norm(input),   s = spikes of the neurons for x
        y = s σ(TA(x) SCA(x))

    TA(x) convolves [C, H, W] with the steps as channels, T → ⌈T/2⌉ → T, kernel 5. SCA(x) convolves
    each step, C → C → C, kernel 4 with one row and column of zeros before and two behind. A SiLU is
    between the two convolutions of each. What is sent are values, no longer spikes, so that the
    layer after it multiplies; and the factors of a step follow from all steps.

    Args:
        norm: of `[T, B, C, H, W]`.
        spikes: the neurons, without a norm.
        steps: T.
        channels: C.

    Raises:
        ConfigError: fewer steps than T.

    Source: arXiv 2412.17654, as its published code has it; where the SiLU stands and the channels
    of SCA are our reading.
    """

    def __init__(
        self, norm: TimeNorm, spikes: SpikingLayer | StartedSpikes, *, steps: int, channels: int
    ) -> None:
        super().__init__()
        self.norm = norm
        self.spikes = spikes
        self.steps = steps
        few = -(-steps // 2)
        self.over_time = nn.Sequential(
            nn.Conv3d(steps, few, TIME_KERNEL, padding=TIME_KERNEL // 2),
            nn.SiLU(),
            nn.Conv3d(few, steps, TIME_KERNEL, padding=TIME_KERNEL // 2),
        )
        before, behind = (SPACE_KERNEL - 1) // 2, SPACE_KERNEL // 2
        around = nn.ZeroPad2d((before, behind, before, behind))
        self.over_space = nn.Sequential(
            around,
            nn.Conv2d(channels, channels, SPACE_KERNEL),
            nn.SiLU(),
            around,
            nn.Conv2d(channels, channels, SPACE_KERNEL),
        )

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != self.steps:
            raise ConfigError(
                f"the gate needs all {self.steps} steps, not {len(x)}",
                why="the factors of each step follow from all of them",
                remedy=f"compute {self.steps} steps, or train with model.gate=false",
            )
        x = self.norm(x)
        attention = self.over_time(x.transpose(0, 1)).transpose(0, 1)
        return self.spikes(x) * (attention * over_time(self.over_space, x)).sigmoid()

    def lower(self, graph: Lowering, name: str) -> None:
        raise ConfigError(
            f"layer {name!r} cannot be exported",
            why="its gate multiplies spikes by what it reads of all steps",
            remedy="train with model.gate=false",
        )

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(f"{name}.gate", "gate", self, VALUES)
        found.visit(f"{name}.spikes", self.spikes, VALUES)
        return VALUES

    def synaptic_weights(self) -> list[Tensor]:
        """Return the weights of the convolutions of the gate."""
        parts = (*self.over_time, *self.over_space)
        return [part.weight for part in parts if isinstance(part, nn.Conv2d | nn.Conv3d)]

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count the products of the convolutions and of the gate, all at every step: values of a
        norm are not 0. Those of TA, of all steps, are shared out among the steps."""
        steps, samples, channels, height, width = x.shape
        few = -(-steps // 2)
        around = [_pairs(size, TIME_KERNEL) for size in (channels, height, width)]
        over_time = 2 * few * steps * math.prod(around)
        around = [_pairs(size, SPACE_KERNEL) for size in (height, width)]
        over_space = 2 * channels**2 * math.prod(around)
        values = channels * height * width
        each = over_time / steps + over_space + values
        operations = x.new_full((steps, samples), each)
        events = x.new_full((steps, samples), values)
        total = steps * samples
        counter.add(operations, events, dense=each * total, inputs=values * total)


def _pairs(size: int, kernel: int) -> int:
    """Return how many pairs of an output and a value within its window there are along an axis, of
    windows that are filled up with zeros so that the size is kept."""
    before, behind = (kernel - 1) // 2, kernel // 2
    return sum(min(i + behind, size - 1) - max(i - before, 0) + 1 for i in range(size))
