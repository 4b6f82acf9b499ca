"""Spikes with a surrogate gradient: H(u) forward, a smooth derivative backward.

The mathematics is that of `snntorch.surrogate`, under the same names. The forward pass keeps the
dtype (`.to(u.dtype)` instead of `.float()`), so that half precision and ONNX export survive, and
the functions are plain and picklable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core.registry import unknown

Derivative = Callable[[Tensor, float], Tensor]


def sigmoid_derivative(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α σ(αu) (1 - σ(αu))."""
    s = torch.sigmoid(alpha * u)
    return alpha * s * (1 - s)


def atan_derivative(u: Tensor, alpha: float) -> Tensor:
    """ds/du = (α/2) / (1 + (π/2 · αu)²)."""
    return alpha / 2 / (1 + (math.pi / 2 * alpha * u).square())


def triangular_derivative(u: Tensor, alpha: float) -> Tensor:
    """ds/du = α for u < 0, -α for u >= 0, as snnTorch has it."""
    return torch.where(u < 0, alpha, -alpha).to(u.dtype)


def fast_sigmoid_derivative(u: Tensor, alpha: float) -> Tensor:
    """ds/du = 1 / (1 + α|u|)²."""
    return (alpha * u.abs() + 1).square().reciprocal()


# Name to derivative and default α: the ASNN paper's for sigmoid, snnTorch's for the others.
SURROGATES: dict[str, tuple[Derivative, float]] = {
    "sigmoid": (sigmoid_derivative, 4.0),
    "atan": (atan_derivative, 2.0),
    "triangular": (triangular_derivative, 1.0),
    "fast_sigmoid": (fast_sigmoid_derivative, 25.0),
}


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(u: Tensor, derivative: Derivative, alpha: float) -> Tensor:
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        u, ctx.derivative, ctx.alpha = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (u,) = ctx.saved_tensors
        return grads[0] * ctx.derivative(u, ctx.alpha), None, None


def spike(u: Tensor, surrogate: str = "sigmoid", alpha: float | None = None) -> Tensor:
    """Return H(u) with H(0) = 0, differentiated as the surrogate says.

    Args:
        u: distance of the membrane from the threshold, any shape.
        surrogate: `sigmoid`, `atan`, `triangular` or `fast_sigmoid`.
        alpha: steepness; the surrogate's own default if None.

    Returns:
        0 and 1 in the shape and dtype of `u`.

    Raises:
        ConfigError: no surrogate has that name.
    """
    if surrogate not in SURROGATES:
        raise unknown("surrogate", surrogate, list(SURROGATES))
    derivative, default = SURROGATES[surrogate]
    return _Spike.apply(u, derivative, default if alpha is None else alpha)  # type: ignore[return-value]
