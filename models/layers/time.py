"""Time-major tensors `[T, B, ...]`: folding time into the batch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer without memory to all steps in one call: `[T, B, ...] -> [T, B, ...]`."""
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def is_static(x: Tensor) -> bool:
    """Return whether all steps of `[T, B, ...]` are views of a single one."""
    return x.shape[0] > 1 and x.stride(0) == 0


def once(x: Tensor) -> Tensor:
    """Return the one step that all steps of a static `[T, B, ...]` are views of.

    It is the tensor that was expanded itself, if it can be had: a gradient that went back through
    the first of T steps would be padded with T - 1 steps of zeros and summed.
    """
    base = x._base
    if (
        base is not None
        and base.shape == x.shape[1:]
        and base.stride() == x.stride()[1:]
        and base.data_ptr() == x.data_ptr()
    ):
        return base
    return x[0]


class OverTime(nn.Module):
    """A layer without memory, applied to all steps at once."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return over_time(self.layer, x)
