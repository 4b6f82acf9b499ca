"""Both ends of a residual block as differentiable functions: the fork, and norm and sum on a CPU.

Their results are large and short-lived, and reuse memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dispatch import is_traced
from .memory import buffers
from .statistics import Segments, grouping_of, norms_of, through_statistics


def normed_sum(x: Tensor, other: Tensor | None, segments: Segments, kernels: Any) -> Tensor:
    """Return batch norm of rows `[T, R, C]`, plus `other` if there is one.

        y_t = (x_t - mean_t) / √(variance_t + eps) weight_t + bias_t + other_t

    Args:
        x: contiguous rows.
        other: rows of the same shape, or None.
        segments: batch norms and the number of steps of each, in order.
        kernels: module with `moments`, `normed`, `products` and `normed_backward`; None while torch
            traces, to call the operator.
    """
    norms = norms_of(x, segments, kernels)
    assert norms is not None
    # By name: TorchDynamo of torch 2.7 cannot slice a NamedTuple.
    tensors = (x, other, norms.weight, norms.bias, norms.mean, norms.deviation)
    if kernels is None:
        out, *_ = torch.ops.asnn.normed_sum(
            *tensors, norm_steps=norms.steps, by_batch=norms.by_batch
        )
        return out
    return _NormedSum.apply(*tensors, norms.steps, norms.by_batch, kernels)  # type: ignore[return-value]


def sum_forward(
    x: Tensor,
    other: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    deviation: Tensor,
    *,
    norm_steps: Sequence[int],
    kernels: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sum, and mean and scale of each step `[T, C]`, float32."""
    grouping = grouping_of(norm_steps, x.shape[1], static=False, device=x.device)
    norm_of_step = grouping.norm_of_step
    mean = mean[norm_of_step].float()
    scale = (weight / deviation)[norm_of_step].float()
    offset = bias[norm_of_step].float().contiguous()
    return kernels.normed(x, mean, scale, offset, other=other), mean, scale


def sum_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    deviation: Tensor,
    *,
    norm_steps: Sequence[int],
    by_batch: bool,
    kernels: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias; that of `other` is `grad`."""
    grouping = grouping_of(norm_steps, x.shape[1], static=False, device=x.device)
    sums = kernels.products(grad, x, mean)
    bias_grad, yx_grad = (grouping.add @ part for part in sums)
    offset = slope = torch.zeros_like(mean)
    if by_batch:
        found = through_statistics(grouping, False, scale.double(), deviation, bias_grad, yx_grad)
        slope, offset = (part.float() for part in found)
    x_grad = kernels.normed_backward(grad, x, mean, scale, offset, slope)
    return x_grad, (yx_grad / deviation).float(), bias_grad.float()


class _NormedSum(torch.autograd.Function):
    """The function for eager code."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        *tensors, norm_steps, by_batch, kernels = args
        out, mean, scale = sum_forward(*tensors, norm_steps=norm_steps, kernels=kernels)
        ctx.options = {"norm_steps": norm_steps, "by_batch": by_batch, "kernels": kernels}
        x, *_, deviation = tensors
        ctx.save_for_backward(x, mean, scale, deviation)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = sum_backward(grads[0].contiguous(), *ctx.saved_tensors, **ctx.options)
        x_grad, weight_grad, bias_grad = found
        other_grad = grads[0] if ctx.needs_input_grad[1] else None
        return x_grad, other_grad, weight_grad, bias_grad, None, None, None, None, None


def fork(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x twice, for two paths; their gradients are added."""
    if is_traced(x):
        return x, x
    return _Fork.apply(x)  # type: ignore[return-value]


class _Fork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return x.view_as(x), x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        first, second = grads
        if first is None or second is None:
            return second if first is None else first
        reuses_memory = first.device.type == "cpu" and first.dtype == torch.float32
        if not reuses_memory or first.stride() != second.stride():
            return first + second
        order = sorted(range(first.dim()), key=first.stride, reverse=True)
        if not first.permute(order).is_contiguous():
            return first + second
        out = buffers.take(*(first.shape[axis] for axis in order))
        torch.add(first.permute(order), second.permute(order), out=out)
        return out.permute([order.index(axis) for axis in range(first.dim())])
