"""Time-major tensors `[T, B, ...]`: folding time into the batch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ...kernels.dispatch import is_traced
from ..layer import Layer, Lowering, OperationList, Signal


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a stateless layer to all steps in one call: `[T, B, ...] -> [T, B, ...]`."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def is_static(x: Tensor) -> bool:
    """Return whether all steps of `[T, B, ...]` are views of one step."""
    return x.shape[0] > 1 and x.stride(0) == 0


def unexpanded(x: Tensor) -> Tensor:
    """Return the step `[B, ...]` that all steps of a static `[T, B, ...]` are views of.

    It is the tensor before `expand`, if `x` refers to it and nothing is traced: the gradient of
    `x[0]` would be padded with T - 1 steps of zeros and summed.
    """
    if is_traced(x):
        return x[0]
    base = x._base
    if (
        base is not None
        and base.shape == x.shape[1:]
        and base.stride() == x.stride()[1:]
        and base.data_ptr() == x.data_ptr()
    ):
        return base
    return x[0]


class OverTime(Layer):
    """A stateless layer, applied to all steps at once."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return over_time(self.layer, x)

    def stepper(self) -> Callable[[Tensor], Tensor]:
        return self.layer

    def lower(self, graph: Lowering, name: str) -> None:
        graph.per_step(name, [self.layer] * graph.steps)

    def list_operations(self, found: OperationList, name: str, x: Signal) -> Signal:
        return found.visit(name, self.layer, x)
