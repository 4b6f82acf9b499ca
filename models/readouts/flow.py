"""Optical flow from features: a vector for each pixel."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ..layer import VALUES, Lowering, OperationList, Signal
from .mean import Readout


class FlowReadout(Readout):
    """u_t = limit · tanh(W s_t + b) at each pixel: `[T, B, C, H, W]` to `[T, B, 2, H, W]`.

    The flow is in pixels to the right and down over the duration of a recording. The answer after
    step t is the mean of the flow of the steps 1..t.

    Args:
        channels: C.
        steps: number of time steps T.
        limit: the largest flow along an axis.

    Source: the last layer of FireNet as of arXiv 2106.01862.
    """

    only_for = "flow"

    def __init__(self, channels: int, *, steps: int, limit: float) -> None:
        super().__init__(channels, 2, steps=steps, scaled=False)
        self.linear = nn.Conv2d(channels, 2, 1)  # type: ignore[assignment]
        self.limit = limit

    def forward(self, spikes: Tensor) -> Tensor:
        return self._flow(spikes.flatten(0, 1)).unflatten(0, spikes.shape[:2])

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self._flow

    def _flow(self, x: Tensor) -> Tensor:
        return self.limit * self.linear(x).tanh()

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.visit(name, self.linear, x)
        return VALUES

    def lower(self, graph: Lowering, name: str) -> None:
        graph.per_step(f"{name}.linear", [self.linear] * graph.steps)
        graph.add("Tanh", name, scale=self.limit)
        graph.answers_with("mean")
