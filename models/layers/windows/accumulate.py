"""Sums of spikes over windows of steps: between a spiking part of a network and an analog one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ....core.errors import ConfigError
from ...layer import VALUES, Layer, Lowering, OperationList, Signal


class Accumulate(Layer):
    """a_w = Σ_{t ∈ w} s_t: spikes `[T, B, ...]` to the sums of W windows `[W, B, ...]`.

    Windows have T / W steps each, without gaps. The sum has no leak, and is read and cleared at
    the end of its window: what was sent in one window does not reach the next. It is linear, so
    that the gradient of a_w is that of each s_t in w. Of the first steps of a code alone it gives
    the windows that end within them.

    Args:
        steps: number of time steps T.
        windows: W.

    Attributes:
        steps_per_output: T / W.
        additions: for each spike, 1; 0 where a window is one step, and its sum the spikes.

    Raises:
        ConfigError: W does not divide T.

    Source: the accumulator of arXiv 2112.03423, of which no code is published; windows of equal
    length are our reading.

    >>> import torch
    >>> Accumulate(steps=4, windows=2)(torch.ones(4, 1, 3))
    tensor([[[2., 2., 2.]],
    <BLANKLINE>
            [[2., 2., 2.]]])
    """

    def __init__(self, *, steps: int, windows: int) -> None:
        super().__init__()
        if windows < 1 or steps % windows:
            divisors = ", ".join(str(n) for n in range(1, steps + 1) if steps % n == 0)
            raise ConfigError(
                f"{windows} windows do not divide {steps} steps",
                why="each window has the same number of steps",
                remedy=f"choose {divisors} windows, or another number of steps",
            )
        self.steps_per_output = steps // windows
        self.additions = int(self.steps_per_output > 1)

    def forward(self, x: Tensor) -> Tensor:
        windows = len(x) // self.steps_per_output
        if not windows:
            raise ConfigError(
                f"{len(x)} steps are less than a window of {self.steps_per_output}",
                why="the sum of a window is known at its end",
                remedy=f"compute {self.steps_per_output} steps or more",
            )
        whole = x[: windows * self.steps_per_output]
        return whole.unflatten(0, (windows, self.steps_per_output)).sum(1)

    def stepper(self) -> Callable[[Tensor], Any]:
        """Return a function of one step after another, which gives None within a window."""
        total: Tensor | None = None
        count = 0

        def step(x: Tensor) -> Tensor | None:
            nonlocal total, count
            total, count = x if total is None else total + x, count + 1
            if count < self.steps_per_output:
                return None
            found, total, count = total, None, 0
            return found

        return step

    def lower(self, graph: Lowering, name: str) -> None:
        if self.steps_per_output > 1:
            graph.accumulate(name, self.steps_per_output)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "accumulate", self, x, operation="ac")
        found.in_windows(self.steps_per_output)
        return VALUES if self.additions else x
