"""The mean over the rotations, which does not change when the image is turned."""

from __future__ import annotations

import torch
from torch import Tensor

from ...layer import VALUES, Layer, Lowering, OperationCounter, OperationList, Signal
from ...stepwise import Step
from .sharing import ROTATIONS


class GroupPool(Layer):
    """y[c] = 1/4 Σ_r x[r, c], `[T, B, 4 C, H, W] -> [T, B, C, H, W]`.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (ROTATIONS, self.channels)).mean(2)

    def stepper(self) -> Step:
        return lambda x: self(x.unsqueeze(0))[0]

    def lower(self, graph: Lowering, name: str) -> None:
        """Add a 1×1 convolution whose weights are 1/4 and 0."""
        weight = (torch.eye(self.channels) / ROTATIONS).repeat(1, ROTATIONS)[..., None, None]
        weights, biases = (weight.numpy(),), (torch.zeros(self.channels).numpy(),)
        graph.add("Conv", name, weights=weights, biases=biases, of_step=(0,) * graph.steps)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        found.add(name, "pool", self, x, operation="ac")
        if x.kind == "values":
            return VALUES
        amplitude = torch.ones(1) if x.amplitude is None else x.amplitude.reshape(-1)
        return Signal("counts", amplitude[: self.channels].squeeze() / ROTATIONS)

    def count_operations(self, counter: OperationCounter, x: Tensor, y: Tensor) -> None:
        """Count an addition for each value that is not 0."""
        nonzero = x.ne(0).flatten(2).sum(2)
        counter.add(nonzero, nonzero, dense=x.numel(), inputs=x.numel())

    def extra_repr(self) -> str:
        return f"channels={self.channels}"
