"""Both ends of a residual block as functions with their gradients, on a CPU.

The results are large and short-lived, and go into memory that is used again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused_layer import (
    Segments,
    grouping_of,
    statistics_of_batch,
    statistics_of_evaluation,
    through_statistics,
)
from .memory import buffers


def normed_sum(x: Tensor, other: Tensor | None, segments: Segments, backend: Any) -> Tensor:
    """Return batch norm of rows `[T, R, C]`, plus `other` if there is one.

        y_t = (x_t - mean_t) / √(variance_t + eps) weight_t + bias_t + other_t

    Args:
        x: contiguous rows.
        other: rows of the same shape, or None.
        segments: batch norms and the number of steps of each, in order.
        backend: module with `moments`, `normed`, `products` and `normed_back`.
    """
    weight = torch.stack([norm.weight for norm, _ in segments])
    bias = torch.stack([norm.bias for norm, _ in segments])
    return _NormedSum.apply(x, weight, bias, other, segments, backend)  # type: ignore[return-value]


class _NormedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        other: Tensor | None,
        segments: Segments,
        backend: Any,
    ) -> Tensor:
        ctx.backend = backend
        ctx.normalises = segments[0][0].training
        ctx.grouping = grouping_of(segments, x.shape[1], static=False, device=x.device)
        if ctx.normalises:
            statistics = statistics_of_batch(x, segments, ctx.grouping, backend)
        else:
            statistics = statistics_of_evaluation(segments)
            assert statistics is not None
        of_step = ctx.grouping.of_step
        mean = statistics.mean[of_step].float()
        scale = (weight / statistics.deviation)[of_step].float()
        ctx.save_for_backward(x, mean, scale, statistics.deviation)
        return backend.normed(x, mean, scale, bias[of_step].float().contiguous(), other=other)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, scale, deviation = ctx.saved_tensors
        grad = grads[0].contiguous()
        sums = ctx.backend.products(grad, x, mean)
        of_bias, of_yx = (ctx.grouping.add @ part for part in sums)
        offset = slope = torch.zeros_like(mean)
        if ctx.normalises:
            found = through_statistics(
                ctx.grouping, False, scale.double(), deviation, of_bias, of_yx
            )
            slope, offset = (part.float() for part in found)
        of_x = ctx.backend.normed_back(grad, x, mean, scale, offset, slope)
        of_weight = (of_yx / deviation).float()
        of_other = grads[0] if ctx.needs_input_grad[3] else None
        return of_x, of_weight, of_bias.float(), of_other, None, None


def fork(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x twice, for two paths; their gradients are added up."""
    return _Fork.apply(x)  # type: ignore[return-value]


class _Fork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return x.view_as(x), x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        one, two = grads
        if one is None or two is None:
            return two if one is None else one
        buffered = one.device.type == "cpu" and one.dtype == torch.float32
        if not buffered or one.stride() != two.stride():
            return one + two
        order = sorted(range(one.dim()), key=one.stride, reverse=True)
        if not one.permute(order).is_contiguous():
            return one + two
        out = buffers.take(*(one.shape[axis] for axis in order))
        torch.add(one.permute(order), two.permute(order), out=out)
        return out.permute([order.index(axis) for axis in range(one.dim())])
