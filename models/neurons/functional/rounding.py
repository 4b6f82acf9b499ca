"""Rounding with a straight-through gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function


def straight_ceil(x: Tensor) -> Tensor:
    """Return ⌈x⌉ with the derivative 1, in the shape of `x`."""
    return _Ceil.apply(x)  # type: ignore[return-value]


def straight_floor(x: Tensor) -> Tensor:
    """Return ⌊x⌋ with the derivative 1, in the shape of `x`."""
    return -straight_ceil(-x)


class _Ceil(Function):
    """⌈x⌉ with the derivative 1."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.ceil()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]
