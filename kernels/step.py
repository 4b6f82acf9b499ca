"""One step of leaky neurons as a differentiable function: for layers that read their own spikes.

    u = leak v + gain x        s = H(u - θ)        v ← u after the reset of the rule

v is the membrane after the reset of the step before, 0 at rest. The equations are those of
`contract`, without norm, pool and reset size. For the backward pass it saves x and v. A backend has
two functions for it, with float32 factors `[3, C]`: leak, gain and θ.

    step_forward(x, v, factors, rule) -> s, v
    step_backward(s_grad, v_grad, x, v, factors, rule) -> x_grad, v_grad, sums
        sums are the gradients of the factors, float64
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .contract import Rule
from .dispatch import missing_backend


def missing_step(device: str, dtype: torch.dtype) -> str | None:
    """Return why there is no fused step for tensors of a device and dtype; None if there is."""
    if device != "cpu":
        return "single steps are fused on the CPU only"
    return missing_backend(device, dtype)


def fused_step(
    x: Tensor, v: Tensor, factors: Tensor, rule: Rule, kernels: Any
) -> tuple[Tensor, Tensor]:
    """Return spikes and membranes after the step, like x.

    Args:
        x, v: contiguous rows `[R, C]`.
        factors: `[3, C]`.
        rule: of leaky neurons without a reset size that may fire often.
        kernels: the backend.
    """
    return _Step.apply(x, v, factors, rule, kernels)  # type: ignore[return-value]


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, v: Tensor, factors: Tensor, rule: Rule, kernels: Any
    ) -> tuple[Tensor, Tensor]:
        ctx.rule, ctx.kernels = rule, kernels
        ctx.save_for_backward(x, v, factors)
        return kernels.step_forward(x, v, factors, rule)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_spikes, of_membranes = (grad.contiguous() for grad in grads)
        x_grad, v_grad, sums = ctx.kernels.step_backward(
            of_spikes, of_membranes, *ctx.saved_tensors, ctx.rule
        )
        return x_grad, v_grad, sums.float(), None, None
