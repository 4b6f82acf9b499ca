"""A chain of exponential filters over time as one differentiable function.

    f^0_t = gain x_t        f^j_t = pole_j f^j_{t-1} + f^{j-1}_t,   f^j_{-1} = 0        y = f^P

A backend computes it in one pass over the steps, and the backward pass with the adjoint filter,
which runs from the last step to the first:

    a^P_t = ∂L/∂y_t + pole_P a^P_{t+1}        a^{j-1} = a^j as the input of the filter before
    ∂L/∂x_t = gain a^0_t    ∂L/∂pole_j = Σ_t a^j_t f^j_{t-1}    ∂L/∂gain = Σ_t a^0_t x_t

It saves the input alone: the states f are computed again, a few rows at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dispatch import missing_backend

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def missing_filter(device: str, dtype: torch.dtype) -> str | None:
    """Return why there is no fused filter for tensors of a device and dtype; None if there is.

    Poles, gain and states are float32.
    """
    if dtype not in DTYPES:
        return f"fused filters do not compute in {str(dtype).removeprefix('torch.')}"
    return missing_backend(device, torch.float32)


def fused_filter(x: Tensor, poles: Tensor, gain: Tensor | None, kernels: Any) -> Tensor:
    """Return the filtered rows, like x.

    Args:
        x: contiguous rows `[T, R, C]`.
        poles: `[P, C]`, P of 1 and more.
        gain: `[C]`; None for 1.
        kernels: the backend; None while torch traces, to call the operator.
    """
    if kernels is None:
        return torch.ops.asnn.pole_filter(x, poles, gain)
    if torch.is_grad_enabled():
        return _Filter.apply(x, poles, gain, kernels)  # type: ignore[return-value]
    return filter_forward(x, poles, gain, kernels)


def filter_forward(x: Tensor, poles: Tensor, gain: Tensor | None, kernels: Any) -> Tensor:
    """Return the filtered rows `[T, R, C]`."""
    return kernels.filter_forward(x, poles.contiguous(), _gains(poles, gain))


def filter_backward(
    grad: Tensor, x: Tensor, poles: Tensor, gain: Tensor | None, *, learns: bool, kernels: Any
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradients of x, and with `learns` of poles and gain."""
    x_grad, sums = kernels.filter_backward(grad, x, poles.contiguous(), _gains(poles, gain), learns)
    if not learns:
        return x_grad, None, None
    sums = sums.to(poles.dtype)
    return x_grad, sums[:-1], None if gain is None else sums[-1]


def _gains(poles: Tensor, gain: Tensor | None) -> Tensor:
    return torch.ones_like(poles[0]) if gain is None else gain.contiguous()


class _Filter(torch.autograd.Function):
    """The function for eager code."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, poles: Tensor, gain: Tensor | None, kernels: Any) -> Tensor:
        ctx.kernels = kernels
        # Without gradients of the poles the input is not needed, only its shape.
        ctx.learns = any(ctx.needs_input_grad[1:3])
        ctx.save_for_backward(x if ctx.learns else None, poles, gain)
        return filter_forward(x, poles, gain, kernels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, poles, gain = ctx.saved_tensors
        grad = grads[0].contiguous()
        found = filter_backward(
            grad, grad if x is None else x, poles, gain, learns=ctx.learns, kernels=ctx.kernels
        )
        return *found, None
